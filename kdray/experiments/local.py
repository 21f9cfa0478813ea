"""The driver of a study in this process, without Ray."""

import logging
import os
import socket
import time
from typing import Any

from kdray import metrics
from kdray.config import RunConfig
from kdray.engines.local import threads_of
from kdray.errors import ConfigError, KdrayError
from kdray.experiments.budget import used_up
from kdray.experiments.progress import log_end, log_epoch, log_start
from kdray.experiments.reported import VALUE
from kdray.experiments.search import shared_by_trials, trials_of
from kdray.experiments.settings import SweepSettings
from kdray.experiments.students import run_trial
from kdray.experiments.study import SweepStudy
from kdray.experiments.trials import StudyTrials
from kdray.stages import Context, Prepared

log = logging.getLogger(__name__)

KEY = "local"  # one trial runs at a time


class _StoppedEarly(Exception):
    """Leaves the training of a trial that is not worth another epoch."""


class OneByOne:
    """Runs trials one after the other in this process.

    Suggestions, early stops and scores are those of Ray Tune with one trial at a time: all follow from the study.
    """

    def at_once(self, settings: SweepSettings) -> int:
        """One.

        Raises:
            ConfigError: Trackers are wanted, which Ray Tune calls.
        """
        if settings.trackers:
            raise ConfigError(
                f"trackers {', '.join(settings.trackers)} need Ray Tune: leave them out, or search on Ray."
            )
        return 1

    def run(
        self, settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context, sweep_study: SweepStudy
    ) -> str | None:
        begun = time.monotonic()
        trials = trials_of(StudyTrials, settings, run, sweep_study)
        given = shared_by_trials(run, prepared, sweep_study)
        stopped: str | None = None
        while stopped is None and (config := trials.start(KEY)) is not None:
            with metrics.tagged(trial=str(config["number"])), threads_of(settings.cpus):
                _one(trials, config, given, settings.trials)
            stopped = used_up(settings.budget, sweep_study, seconds=time.monotonic() - begun, gpus=settings.gpus)
        trials.end()
        return stopped


def _one(trials: StudyTrials, config: dict[str, Any], given: dict[str, Any], total: int) -> None:
    """Run one trial to its end, and record it in the study."""
    started, history, last = time.time(), list[dict[str, float]](), dict[str, Any]()
    log_start(config)

    def report(result: dict[str, Any]) -> None:
        last.clear()
        last.update(result)
        is_poor = trials.should_stop(KEY, result)
        if "history" not in result:
            log_epoch(config, result["epochs"], result[VALUE])
        history.append({"epoch": result["epochs"], "value": result[VALUE], "loss": result["loss"]})
        trials.note(
            KEY,
            started=started,
            ended=time.time(),
            worker=f"{socket.gethostname()}:{os.getpid()}",
            history=result.get("history", history),
        )
        if is_poor:
            raise _StoppedEarly

    try:
        run_trial(config, report, **given)
    except _StoppedEarly:
        what = "stopped early"
    except Exception as error:
        text = str(error) if isinstance(error, KdrayError) else f"{type(error).__name__}: {error}"
        trials.fail(KEY, error=text.strip().splitlines()[0], ended=time.time())
        log_end(config, f"failed: {text.rstrip('.')}", trials.progress(), total=total, at_once=1)
        return
    else:
        what = f"validation {last[VALUE]:.4f}"
    trials.complete(KEY, last)
    log_end(config, what, trials.progress(), total=total, at_once=1)
