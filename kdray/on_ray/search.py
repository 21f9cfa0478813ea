"""The searcher between Ray Tune and Optuna. The study lies in a database and is the source of truth.

Every suggestion is a function of the study's history, the seed and the trial's number, so a search that goes on after
its driver died asks what an unbroken one would have asked. A trial that was running when the driver died is put back
at the head of the queue with its own parameters; its checkpoint is found again by its digest.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from kdray.seeds import seed_of

log = logging.getLogger(__name__)

Space = Callable[[Any], dict[str, Any]]  # an Optuna trial (or a fixed one) to dotted overrides
VALUE = "value"
BUDGET = "budget"


def open_study(storage: str, *, name: str, starts: Sequence[Mapping[str, Any]]) -> optuna.Study:
    """Open or create the study; a new one begins with `starts`, an old one with what it left running.

    Args:
        starts: Parameters to try first, each with a `label`; the first is trial 0, the defaults.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    if not study.trials:
        for start in starts:
            study.enqueue_trial(dict(start["params"]), user_attrs={"label": start["label"]})
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)  # pyright: ignore[reportPrivateUsage]
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"label": trial.user_attrs.get("label")})
    return study


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that have ended: all but the waiting, the running and those cut off by a driver's death."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=ended)
    return [trial for trial in trials if not trial.user_attrs.get("interrupted")]


class StudySearcher(Searcher):
    """Asks the study for parameters and tells it what became of them.

    Args:
        full_budget: The value of `budget` that a finished trial reports; less means that it was stopped early.
    """

    def __init__(self, study: optuna.Study, space: Space, *, seed: int, full_budget: int) -> None:
        super().__init__(metric=VALUE, mode="max")
        self._study, self._space, self._seed, self._full = study, space, seed, full_budget
        self._asked: dict[str, optuna.Trial] = {}
        self._reported: dict[str, int] = {}  # the last budget told to the study

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed_of(self._seed, number) % 2**32, n_startup_trials=5, constant_liar=True
        )
        trial = self._study.ask()
        overrides = self._space(trial)
        self._asked[trial_id] = trial
        return {"number": trial.number, "overrides": overrides}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if VALUE in result and result[BUDGET] < self._full:
            self._report(trial_id, result)

    def _report(self, trial_id: str, result: dict[str, Any]) -> None:
        # Tune hands the result at which it stops a trial to `on_trial_complete` alone
        if self._reported.get(trial_id) != result[BUDGET]:
            self._reported[trial_id] = result[BUDGET]
            self._asked[trial_id].report(result[VALUE], step=result[BUDGET])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error:
            return  # `fail` follows with the reason, which a trial that has been told could no longer take
        if trial_id not in self._asked:
            return
        if result is not None and result.get(VALUE) is not None and result[BUDGET] < self._full:
            self._report(trial_id, result)
        trial = self._asked.pop(trial_id)
        if result is None or result.get(VALUE) is None:
            self._study.tell(trial, state=TrialState.FAIL)
        elif result[BUDGET] < self._full:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            for key in ("digest", "report", "epochs"):
                trial.set_user_attr(key, result[key])
            self._study.tell(trial, result[VALUE])

    def fail(self, trial_id: str, **facts: Any) -> None:
        """Record a failed trial with what is known of it."""
        self.note(trial_id, **facts)
        self._study.tell(self._asked.pop(trial_id), state=TrialState.FAIL)

    def note(self, trial_id: str, **facts: Any) -> None:
        """Keep facts about a trial in the study (error text, seconds, where it ran)."""
        if trial_id in self._asked:
            for key, value in facts.items():
                self._asked[trial_id].set_user_attr(key, value)

    def save(self, checkpoint_path: str) -> None:
        """An empty file, because Tune wants one: the study is in its database."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is in its database."""
