"""One trial as Ray Tune runs it: a student distilled in this process, with every epoch reported."""

import os
from typing import Any

from kdray import metrics
from kdray.config import merge
from kdray.engines.local import threads_of
from kdray.experiments.reported import BUDGET, VALUE
from kdray.experiments.students import Shared, distill_one
from kdray.stages.train_stage import result_of
from kdray.tasks import best_of


def trial(
    config: dict[str, Any], *, base: dict[str, Any], shared: Shared, epochs: int, higher_is_better: bool = True
) -> None:
    """What Ray Tune runs. The last report, of budget `epochs + 1`, carries the finished student's scores."""
    from ray import tune

    from kdray.engines.ray.failures import described

    scores: list[float] = []

    def report(epoch: dict[str, Any]) -> None:
        if not epoch["scored"]:  # a phase before the student's own; its score says nothing yet
            return
        scores.append(epoch["score"])
        best = best_of(scores, higher_is_better=higher_is_better)
        tune.report({BUDGET: len(scores), VALUE: best, "loss": epoch["loss"], "epochs": epoch["epoch"]})

    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))  # Ray sets it to the processors of a trial
    with described(), metrics.tagged(trial=str(config["number"])), threads_of(threads):
        artifact = distill_one(merge(base, config["overrides"]), shared, report)
    result = result_of(artifact)
    metric = result["metric"]
    tune.report(
        {
            BUDGET: epochs + 1,
            VALUE: result["metrics"]["validation"][metric],
            "test": result["metrics"]["test"][metric],
            "digest": artifact.digest,
            "latency": result["cost"]["latency_ms"],
            "parameters": result["cost"]["parameters"],
            "epochs": len(result["history"]),
            "loss": result["history"][-1]["loss"],
            "history": [{"epoch": e["epoch"], "value": e["score"], "loss": e["loss"]} for e in result["history"]],
        }
    )
