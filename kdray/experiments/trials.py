"""The trials of a study as one driver runs them: what to try next, which to stop early, what became of each.

Every suggestion is a function of the study's history at that moment, the seed and the trial's number, and so is every
decision to stop a trial early: nothing is remembered outside the study. With one trial at a time the history repeats,
so a resumed search is the unbroken one. With several at a time it depends on timing which trials have reported, and so
do suggestions of TPE and early stops; only random sampling without early stops repeats at any number of trials.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from kdray import compat
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


class StudyTrials:
    """Parameters from the study, and into the study what became of them. A trial has a key while it runs.

    Args:
        total: The number of trials that have ended at the end of the search.
        full_budget: The value of `budget` that a finished trial reports; less means that it was stopped early.
        objectives: Those of the study. With several of them no trial is stopped early.
        retries: How often a trial whose worker was lost is retried.
        latency_of: As in `SweepSettings`.
    """

    def __init__(
        self,
        sweep_study: SweepStudy,
        space: Space,
        *,
        seed: int,
        total: int,
        full_budget: int,
        pruning: Pruning = "asha",
        sampling: Sampling = "tpe",
        objectives: Sequence[Objective] = ("metric",),
        retries: int = 0,
        latency_of: Callable[[Mapping[str, Any]], float | None] | None = None,
    ) -> None:
        self._sweep_study, self._study, self._space = sweep_study, sweep_study.study, space
        self._seed, self._total, self._full = seed, total, full_budget
        self._sampling, self._objectives, self._latency_of = sampling, objectives, latency_of
        self._study.pruner = PRUNERS[pruning]()
        self._left_over = sweep_study.adopt_orphans()
        self._active: dict[str, optuna.Trial] = {}
        self._retries, self._losses = retries, Counter[int]()  # by the trial's number
        self.is_closing = False

    def start(self, trial_id: str) -> dict[str, Any] | None:
        """The number and the overrides of the next trial; None if there is none."""
        trial = self._next()
        if trial is None:
            return None
        with warnings.catch_warnings():  # the search names a range that changed since the last command
            warnings.filterwarnings("ignore", message="Inconsistent parameter values", category=RuntimeWarning)
            overrides = self._space(trial)
        if self._latency_of is not None:
            trial.set_user_attr("latency", self._latency_of(overrides))
        trial.set_user_attr("overrides", overrides)
        self._active[trial_id] = trial
        return {"number": trial.number, "overrides": overrides}

    def _next(self) -> optuna.Trial | None:
        """A trial that its driver left running, else a new one; the seed is a function of its number."""
        number = self._left_over[0].number if self._left_over else len(self._study.get_trials(deepcopy=False))
        self._study.sampler = SAMPLERS[self._sampling](seed_of(self._seed, number) % 2**32)
        return self._left_over.pop(0) if self._left_over else self._sweep_study.ask(total=self._total)

    def should_stop(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Record the score of this epoch; returns whether the trial is stopped early."""
        if result.get(VALUE) is None or result[BUDGET] >= self._full or len(self._objectives) > 1:
            return False
        self._report(trial_id, result)
        return result[BUDGET] < self._full - 1 and self._active[trial_id].should_prune()

    def _report(self, trial_id: str, result: dict[str, Any]) -> None:
        # a trial that resumes after its last epoch reports the earlier ones again
        trial, step = self._active[trial_id], result[BUDGET]
        known = compat.database_of(self._study).get_trial(compat.trial_id(trial)).intermediate_values
        if step not in known:
            trial.report(result[VALUE], step=step)

    def complete(self, trial_id: str, result: dict[str, Any] | None) -> None:
        """Record the end of a trial: finished, or stopped early, by its last report."""
        trial = self._active.pop(trial_id)
        self._sweep_study.release(trial)
        is_full = result is not None and result.get(VALUE) is not None and result[BUDGET] >= self._full
        if is_full and result is not None:
            if self._latency_of is not None:
                result = {**result, "latency": trial.user_attrs["latency"]}
            for key in ("digest", "test", "epochs", *COSTS):
                trial.set_user_attr(key, result[key])
            self._study.tell(trial, [result[VALUE], *(result[name] for name in self._objectives[1:])])
        elif not self.is_closing:  # else it stays a running one, which the next driver takes over
            self._study.tell(trial, state=TrialState.PRUNED if result else TrialState.FAIL)

    def progress(self) -> StudyProgress:
        """Of the study."""
        return self._sweep_study.progress()

    def goes_on(self, trial_id: str) -> bool:
        """Whether a trial that lost its worker is run again; then it is suggested again, under its number."""
        number = self._active[trial_id].number
        self._losses[number] += 1
        if self._losses[number] > self._retries:
            return False
        self._left_over.append(self._active.pop(trial_id))
        return True

    def end(self) -> None:
        """Release the trials that got no worker; the next search takes them over."""
        for trial in self._left_over:
            self._sweep_study.release(trial)

    def fail(self, trial_id: str, **facts: Any) -> None:
        """Record a failed trial with what is known of it."""
        self.note(trial_id, **facts)
        trial = self._active.pop(trial_id)
        self._sweep_study.release(trial)
        self._study.tell(trial, state=TrialState.FAIL)

    def note(self, trial_id: str, **facts: Any) -> None:
        """Keep facts about a trial in the study (error text, seconds, where it ran)."""
        if trial_id in self._active:
            for key, value in facts.items():
                self._active[trial_id].set_user_attr(key, value)
