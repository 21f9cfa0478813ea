"""The trials of a study, as a driver takes them."""

import warnings
from types import SimpleNamespace
from typing import Any, cast

import optuna

from kdray.experiments.trials import StudyTrials


def test_a_trial_that_is_continued_with_another_range_gives_no_warning() -> None:
    """The search has a sentence on it."""
    study = optuna.create_study()
    left_over = study.ask({"t": optuna.distributions.FloatDistribution(1, 20)})

    def space(trial: Any) -> dict[str, Any]:
        return {"method.temperature": trial.suggest_float("t", 1, 10)}

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        space(left_over)
    assert ["Inconsistent parameter values" in str(each.message) for each in found] == [True]
    sweep_study = cast("Any", SimpleNamespace(study=study, adopt_orphans=lambda: [left_over]))
    trials = StudyTrials(sweep_study, space, seed=0, total=1, full_budget=2)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        started = trials.start("one")
    assert started == {"number": 0, "overrides": {"method.temperature": left_over.params["t"]}}
    assert found == []
