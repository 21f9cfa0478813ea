"""One trial as Ray Tune runs it: a student distilled in this process, with every epoch reported."""

import os
from typing import Any

from kdray import metrics
from kdray.engines.local import threads_of
from kdray.experiments.students import Shared, run_trial


def trial(
    config: dict[str, Any], *, base: dict[str, Any], shared: Shared, epochs: int, higher_is_better: bool = True
) -> None:
    """What Ray Tune runs."""
    from ray import tune

    from kdray.engines.ray.failures import described

    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))  # Ray sets it to the processors of a trial
    with described(), metrics.tagged(trial=str(config["number"])), threads_of(threads):
        run_trial(config, tune.report, base=base, shared=shared, epochs=epochs, higher_is_better=higher_is_better)
