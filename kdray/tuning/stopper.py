"""Ends a search of Ray Tune when a budget is used up."""

import logging
import time
from typing import Any

from ray import tune

from kdray.experiments.budget import NO_BUDGET, Budget, used_up
from kdray.experiments.study import SweepStudy
from kdray.tuning.searcher import StudySearcher

log = logging.getLogger(__name__)

BUDGET_SECONDS = 5.0  # between two looks at what a search has used


class Stopper(tune.Stopper):
    """Ends the search when a budget is used up; what runs then stays unfinished in the study."""

    def __init__(self, searcher: StudySearcher, sweep_study: SweepStudy, budget: Budget, *, gpus: float) -> None:
        self._searcher, self._sweep_study = searcher, sweep_study
        self._budget, self._gpus = budget, gpus
        self._start = self._looked = time.monotonic()
        self.reason: str | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        now = time.monotonic()
        if self.reason is None and self._budget != NO_BUDGET and now - self._looked > BUDGET_SECONDS:
            self._looked = now
            self.reason = used_up(self._budget, self._sweep_study, seconds=now - self._start, gpus=self._gpus)
            if self.reason:
                self._searcher.is_closing = True
                log.info("the search ends: %s", self.reason)
        return self.reason is not None
