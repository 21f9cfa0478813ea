"""The searcher between Ray Tune and the study, and the scheduler that stops poor trials by the history of the study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from kdray.experiments.reported import VALUE
from kdray.experiments.settings import Space
from kdray.experiments.study import SweepStudy
from kdray.experiments.trials import StudyTrials


class StudySearcher(StudyTrials, Searcher):
    """`StudyTrials` for Ray Tune, whose ids are the keys.

    Args:
        capacity: How many trials may run at once, computed before every suggestion: a cluster grows and shrinks.
        settings: Those of `StudyTrials`.
    """

    def __init__(
        self, sweep_study: SweepStudy, space: Space, *, capacity: Callable[[], int] | None = None, **settings: Any
    ) -> None:
        Searcher.__init__(self, metric=VALUE, mode="max" if sweep_study.higher_is_better else "min")
        StudyTrials.__init__(self, sweep_study, space, **settings)
        self._capacity = capacity

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # pyright: ignore[reportIncompatibleMethodOverride] - FINISHED is a word
        if self._capacity is not None and len(self._active) >= self._capacity():
            return None  # later
        # a running trial may lose its worker and be suggested again, which Tune does not do after FINISHED
        last = None if self._retries and self._active else Searcher.FINISHED
        return self.start(trial_id) or last

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error or trial_id not in self._active:
            return  # `fail` follows an error with its reason, which cannot be added to a trial that has ended
        self.complete(trial_id, result)

    def __getstate__(self) -> dict[str, Any]:
        """As `SweepStudy`: nothing."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """An empty file, because Tune needs one: the study is in its database."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is in its database."""


class StudyScheduler(FIFOScheduler):
    """First come, first served; a trial stops early when the pruner of the study decides so."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        is_poor = self._searcher.should_stop(trial.trial_id, result)
        return TrialScheduler.STOP if is_poor else TrialScheduler.CONTINUE
