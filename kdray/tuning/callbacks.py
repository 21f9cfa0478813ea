"""What a search logs while it runs."""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback

from kdray import metrics
from kdray.experiments.progress import log_end, log_epoch, log_start
from kdray.experiments.reported import VALUE
from kdray.tuning.searcher import StudySearcher

log = logging.getLogger(__name__)


class ProgressCallback(Callback):
    """One line for every trial that ends, and the facts that the study keeps of it."""

    def __init__(self, sweep: str, searcher: StudySearcher, total: int, capacity: Callable[[], int]) -> None:
        self._sweep, self._states = sweep, Counter[str]()
        self._searcher, self._total, self._capacity = searcher, total, capacity
        self._start: dict[str, float] = {}
        self._history: dict[str, list[dict[str, float]]] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._start[trial.trial_id] = time.time()
        self._history[trial.trial_id] = []
        self._now("running", 1)
        log_start(trial.config)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        facts: dict[str, Any] = {
            "started": self._start[trial.trial_id],
            "ended": time.time(),
            "worker": f"{result['hostname']}:{result['pid']}",
        }
        if "history" in result:
            self._history[trial.trial_id] = result["history"]
        else:
            point = {"epoch": result["epochs"], "value": result[VALUE], "loss": result["loss"]}
            self._history[trial.trial_id].append(point)
            log_epoch(trial.config, result["epochs"], result[VALUE])
        self._searcher.note(trial.trial_id, **facts, history=self._history[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self._searcher.is_closing:
            return
        stopped = "digest" not in trial.last_result
        self._now("pruned" if stopped else "complete", 1)
        self._say(trial, "stopped early" if stopped else f"validation {trial.last_result[VALUE]:.4f}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error, was_lost = _error(trial)
        if was_lost and self._searcher.goes_on(trial.trial_id):
            self._now("running", -1)
            log.warning("trial %d lost its worker (%s); it is retried on another worker", trial.config["number"], error)
            return
        self._now("failed", 1)
        self._searcher.fail(trial.trial_id, error=error, ended=time.time())
        self._say(trial, f"failed: {error.rstrip('.')}")

    def _now(self, state: str, change: int) -> None:
        self._states[state] += change
        metrics.show("trials", self._states[state], sweep=self._sweep, state=state)

    def _say(self, trial: Any, what: str) -> None:
        """The state of the whole study, with the trials of all drivers and earlier commands."""
        self._now("running", -1)
        progress = self._searcher.progress()
        log_end(trial.config, what, progress, total=self._total, at_once=self._capacity())


def _error(trial: Any) -> tuple[str, bool]:
    """The last line of the trial's error, and whether its worker was lost rather than its code at fault."""
    path = getattr(trial, "error_file", None)
    text = Path(path).read_text().rpartition("Failure #")[2] if path else ""
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    # Ray puts the name of what ran before the traceback of an error that was raised in it
    return _plain(lines[-1]) if lines else "its worker was lost", "ray::" not in text


def _plain(error: str) -> str:
    """Errors of kdray are sentences, which need no class before them."""
    return re.sub(r"^kdray\.[\w.]+: ", "", error)
