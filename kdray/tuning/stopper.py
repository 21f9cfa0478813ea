"""Ends a search of Ray Tune when a budget is used up."""

import logging
import time
from typing import Any

from ray import tune

from kdray.experiments.budget import NO_BUDGET, Budget
from kdray.experiments.study import SweepStudy
from kdray.tuning.searcher import StudySearcher

log = logging.getLogger(__name__)

BUDGET_SECONDS = 5.0  # between two looks at what a search has used


class Stopper(tune.Stopper):
    """Ends the search when a budget is used up; what runs then stays unfinished in the study."""

    def __init__(self, searcher: StudySearcher, sweep_study: SweepStudy, budget: Budget, *, gpus: float) -> None:
        self._searcher, self._book = searcher, sweep_study
        self._budget, self._gpus = budget, gpus
        self._start = self._looked = time.monotonic()
        self.reason: str | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        now = time.monotonic()
        if self.reason is None and self._budget != NO_BUDGET and now - self._looked > BUDGET_SECONDS:
            self._looked = now
            self.reason = self._used_up(now)
            if self.reason:
                self._searcher.is_closing = True
                log.info("the search ends: %s", self.reason)
        return self.reason is not None

    def _used_up(self, now: float) -> str | None:
        budget = self._budget
        if budget.hours is not None and now - self._start > 3600 * budget.hours:
            return f"--max-hours {budget.hours:g} are over"
        trials = self._book.counted()
        if budget.gpu_hours is not None:
            facts = [trial.user_attrs for trial in trials]
            used = self._gpus * sum(f["ended"] - f["started"] for f in facts if "ended" in f and "started" in f) / 3600
            if used > budget.gpu_hours:
                return f"--max-gpu-hours {budget.gpu_hours:g} are used up"
        failed = sum(trial.state.name == "FAIL" for trial in trials)
        if budget.failures is not None and failed >= budget.failures:
            return f"{failed} trials have failed, --max-failures is {budget.failures}"
        return None
