"""The searcher between Ray Tune and the study, and the scheduler that stops poor trials by what the study knows.

Every suggestion is a function of the study's history at that moment, the seed and the trial's number, and so is every
decision to stop a trial early: nothing is remembered outside the study. With one trial at a time the history repeats,
so a resumed search is the unbroken one. With several at a time it depends on timing which trials have reported, and so
do suggestions of TPE and early stops; only random sampling without early stops repeats at any number of trials.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from kdray.experiments.reported import BUDGET, VALUE
from kdray.experiments.settings import Objective, Pruning, Sampling, Space
from kdray.experiments.study import StudyProgress, SweepStudy
from kdray.seeds import seed_of

COSTS: tuple[Objective, ...] = ("latency", "parameters")  # of a finished student: milliseconds, their number

PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=3),
    "none": optuna.pruners.NopPruner,
}
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


class StudySearcher(Searcher):
    """Asks the study for parameters and tells it what became of them.

    Args:
        asked: How many trials shall have ended in all.
        full_budget: The value of `budget` that a finished trial reports; less means that it was stopped early.
        objectives: Those of the study. With several of them no trial is stopped early.
        capacity: How many trials may run at once, asked before every suggestion: a cluster grows and shrinks.
        retries: How often a trial that lost its worker goes on at another one.
    """

    def __init__(
        self,
        sweep_study: SweepStudy,
        space: Space,
        *,
        seed: int,
        asked: int,
        full_budget: int,
        pruning: Pruning = "asha",
        sampling: Sampling = "tpe",
        objectives: Sequence[Objective] = ("metric",),
        capacity: Callable[[], int] | None = None,
        retries: int = 0,
    ) -> None:
        super().__init__(metric=VALUE, mode="max" if sweep_study.higher_is_better else "min")
        self._book, self._study, self._space = sweep_study, sweep_study.study, space
        self._seed, self._asked_for, self._full = seed, asked, full_budget
        self._sampling, self._objectives = sampling, objectives
        self._room = capacity
        self._study.pruner = PRUNERS[pruning]()
        self._left_over = sweep_study.adopt_orphans()
        self._asked: dict[str, optuna.Trial] = {}
        self._retries, self._losses = retries, Counter[int]()  # by the trial's number
        self.is_closing = False

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # pyright: ignore[reportIncompatibleMethodOverride] - FINISHED is a word
        if self._room is not None and len(self._asked) >= self._room():
            return None  # later
        trial = self._next()
        if trial is None:
            # one that runs may lose its worker and be asked for again, which Tune does not do after this word
            return None if self._retries and self._asked else Searcher.FINISHED
        overrides = self._space(trial)
        trial.set_user_attr("overrides", overrides)
        self._asked[trial_id] = trial
        return {"number": trial.number, "overrides": overrides}

    def _next(self) -> optuna.Trial | None:
        """A trial that its driver left running, else a new one; the seed is a function of its number."""
        number = self._left_over[0].number if self._left_over else len(self._study.get_trials(deepcopy=False))
        self._study.sampler = SAMPLERS[self._sampling](seed_of(self._seed, number) % 2**32)
        return self._left_over.pop(0) if self._left_over else self._book.ask(asked=self._asked_for)

    def should_stop(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Tells the study this epoch's score, and asks it whether the trial is worth another one."""
        if result.get(VALUE) is None or result[BUDGET] >= self._full or len(self._objectives) > 1:
            return False
        self._report(trial_id, result)
        return result[BUDGET] < self._full - 1 and self._asked[trial_id].should_prune()

    def _report(self, trial_id: str, result: dict[str, Any]) -> None:
        # a trial that goes on from its last epoch tells the earlier ones again
        trial, step = self._asked[trial_id], result[BUDGET]
        known = self._study._storage.get_trial(trial._trial_id).intermediate_values  # pyright: ignore[reportPrivateUsage]
        if step not in known:
            trial.report(result[VALUE], step=step)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error or trial_id not in self._asked:
            return  # `fail` follows an error with its reason, which a trial that has been told could no longer take
        trial = self._asked.pop(trial_id)
        self._book.release(trial)
        is_full = result is not None and result.get(VALUE) is not None and result[BUDGET] >= self._full
        if is_full and result is not None:
            for key in ("digest", "test", "epochs", *COSTS):
                trial.set_user_attr(key, result[key])
            self._study.tell(trial, [result[VALUE], *(result[name] for name in self._objectives[1:])])
        elif not self.is_closing:  # else it stays a running one, which the next driver takes over
            self._study.tell(trial, state=TrialState.PRUNED if result else TrialState.FAIL)

    def standing(self) -> StudyProgress:
        """Of the study."""
        return self._book.standing()

    def goes_on(self, trial_id: str) -> bool:
        """Whether a trial that lost its worker may have another; then it is suggested again, under its number."""
        number = self._asked[trial_id].number
        self._losses[number] += 1
        if self._losses[number] > self._retries:
            return False
        self._left_over.append(self._asked.pop(trial_id))
        return True

    def end(self) -> None:
        """Let go of what no worker was found for; whoever searches next takes it over."""
        for trial in self._left_over:
            self._book.release(trial)

    def fail(self, trial_id: str, **facts: Any) -> None:
        """Record a failed trial with what is known of it."""
        self.note(trial_id, **facts)
        trial = self._asked.pop(trial_id)
        self._book.release(trial)
        self._study.tell(trial, state=TrialState.FAIL)

    def note(self, trial_id: str, **facts: Any) -> None:
        """Keep facts about a trial in the study (error text, seconds, where it ran)."""
        if trial_id in self._asked:
            for key, value in facts.items():
                self._asked[trial_id].set_user_attr(key, value)

    def __getstate__(self) -> dict[str, Any]:
        """As `SweepStudy`: nothing."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """An empty file, because Tune wants one: the study is in its database."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is in its database."""


class StudyScheduler(FIFOScheduler):
    """First come, first served; a trial stops early when the study says so."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        is_poor = self._searcher.should_stop(trial.trial_id, result)
        return TrialScheduler.STOP if is_poor else TrialScheduler.CONTINUE
