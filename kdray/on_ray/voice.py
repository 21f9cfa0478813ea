"""What a search says while it runs."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Callback

from kdray import meters
from kdray.on_ray.reported import VALUE
from kdray.on_ray.search import StudySearcher

log = logging.getLogger(__name__)


class Voice(Callback):
    """One line for every trial that ends, and the facts that the study keeps of it."""

    def __init__(self, sweep: str, searcher: StudySearcher, done: int, asked: int, room: Callable[[], int]) -> None:
        self._sweep, self._states = sweep, Counter[str]()
        self._searcher, self._done, self._asked, self._room = searcher, done, asked, room
        self._failed = self._stopped = 0
        self._best: float | None = None
        self._seconds: list[float] = []
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
            log.info("trial %d: epoch %d, select %.4f", trial.config["number"], result["epochs"], result[VALUE])
        self._searcher.note(trial.trial_id, **facts, history=self._history[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self._searcher.is_closing:
            return
        value = trial.last_result.get(VALUE)
        stopped = "digest" not in trial.last_result
        self._stopped += stopped
        if not stopped and value is not None and (self._best is None or value > self._best):
            self._best = value
        self._now("pruned" if stopped else "complete", 1)
        self._say(trial, "stopped early" if stopped else f"select {value:.4f}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._failed += 1
        self._now("failed", 1)
        error = _last_line(trial)
        self._searcher.fail(trial.trial_id, error=error, ended=time.time())
        self._say(trial, f"failed: {error}")

    def _now(self, state: str, change: int) -> None:
        self._states[state] += change
        meters.show("trials", self._states[state], sweep=self._sweep, state=state)

    def _say(self, trial: Any, what: str) -> None:
        self._now("running", -1)
        self._done += 1
        self._seconds.append(time.time() - self._start.get(trial.trial_id, time.time()))
        best = "none yet" if self._best is None else f"{self._best:.4f}"
        log.info(
            "trial %d %s; %d of %d ended (%d stopped early, %d failed), best %s%s",
            trial.config["number"],
            what,
            self._done,
            self._asked,
            self._stopped,
            self._failed,
            best,
            self._left(),
        )

    def _left(self) -> str:
        """How long the rest will take if it is like what there was."""
        missing = self._asked - self._done
        minutes = missing * sum(self._seconds) / len(self._seconds) / self._room() / 60
        return f", about {minutes:.0f} min left" if missing > 0 and minutes >= 1 else ""


def _last_line(trial: Any) -> str:
    path = getattr(trial, "error_file", None)
    if not path:
        return "its worker was lost"
    with open(path) as file:  # noqa: PTH123 - Tune gives a string
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else "its worker was lost"


def _short(overrides: Mapping[str, Any]) -> str:
    shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in overrides.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
