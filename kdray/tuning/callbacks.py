"""What a search logs while it runs."""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback

from kdray import metrics
from kdray.experiments.reported import VALUE
from kdray.experiments.study import StudyProgress
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
        log.info("trial %d starts: %s", trial.config["number"], _short(trial.config["overrides"]))

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
            log.info("trial %d: epoch %d, validation %.4f", trial.config["number"], result["epochs"], result[VALUE])
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
        log.info(
            "trial %d %s; %d of %d ended (%d stopped early, %d failed), %d running, best %s%s",
            trial.config["number"],
            what,
            progress.ended,
            self._total,
            progress.pruned,
            progress.failed,
            progress.running,
            "none yet" if progress.best is None else f"{progress.best:.4f}",
            self._left(progress),
        )

    def _left(self, progress: StudyProgress) -> str:
        """How long the search will take if the rest is like what there was."""
        missing = self._total - progress.ended
        minutes = missing * progress.seconds / self._capacity() / 60
        return f", about {minutes:.0f} min left" if missing > 0 and minutes >= 1 else ""


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


def _short(overrides: Mapping[str, Any]) -> str:
    shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in overrides.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
