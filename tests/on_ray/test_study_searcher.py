"""The study is the source of truth: a search that goes on asks what an unbroken one would have asked."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from kdray.on_ray.search import BUDGET, VALUE, StudySearcher, counted, open_study

START = {"label": "defaults", "params": {"x": 0.5, "kind": "a"}}
FULL = 4


def space(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0, 1), "kind": trial.suggest_categorical("kind", ["a", "b"])}


def searcher(storage: str, *, seed: int = 7) -> StudySearcher:
    return StudySearcher(open_study(storage, name="s", starts=[START]), space, seed=seed, full_budget=FULL)


def finish(asking: StudySearcher, name: str, config: dict[str, Any]) -> None:
    x = config["overrides"]["x"]
    result = {VALUE: 1 - (x - 0.3) ** 2, BUDGET: FULL, "digest": "d", "report": 0.5, "epochs": 3}
    asking.on_trial_complete(name, result)


def storage_at(path: Path) -> str:
    return f"sqlite:///{path / 'study.db'}"


def asked(storage: str, number: int, *, broken_after: int | None = None) -> list[dict[str, Any]]:
    asking, configs = searcher(storage), []
    for i in range(number):
        if i == broken_after:
            asking = searcher(storage)
        config = asking.suggest(f"t{i}")
        assert config is not None
        configs.append(config)
        finish(asking, f"t{i}", config)
    return configs


def test_first_trial_is_the_defaults(tmp_path: Path) -> None:
    config = searcher(storage_at(tmp_path)).suggest("t")
    assert config == {"number": 0, "overrides": START["params"]}


def test_resumed_search_asks_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert asked(storage_at(tmp_path / "a"), 9) == asked(storage_at(tmp_path / "b"), 9, broken_after=7)


def test_interrupted_trial_is_asked_again_and_counted_once(tmp_path: Path) -> None:
    storage = storage_at(tmp_path)
    first = searcher(storage)
    finish(first, "t0", first.suggest("t0") or {})
    cut = first.suggest("t1")
    assert cut is not None
    first.on_trial_result("t1", {VALUE: 0.4, BUDGET: 1})  # the driver dies here

    study = open_study(storage, name="s", starts=[START])
    assert len(counted(study)) == 1
    again = StudySearcher(study, space, seed=7, full_budget=FULL).suggest("t1")
    assert again is not None
    assert again["overrides"] == cut["overrides"]
    assert again["number"] != cut["number"]
    open_study(storage, name="s", starts=[START])
    assert len(counted(study)) == 1


def test_early_stopped_trial_is_pruned_and_failed_one_failed(tmp_path: Path) -> None:
    asking = searcher(storage_at(tmp_path))
    asking.suggest("stopped")
    asking.on_trial_result("stopped", {VALUE: 0.2, BUDGET: 1})
    asking.on_trial_complete("stopped", {VALUE: 0.2, BUDGET: 1})
    asking.suggest("failed")
    asking.on_trial_complete("failed", error=True)
    asking.fail("failed", error="it broke")
    study = optuna.load_study(study_name="s", storage=storage_at(tmp_path))
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "FAIL"]
    assert study.trials[0].intermediate_values == {1: 0.2}
    assert study.trials[1].user_attrs["error"] == "it broke"


def test_the_score_at_which_a_trial_was_stopped_is_known_to_the_study(tmp_path: Path) -> None:
    """Tune calls `on_trial_complete` in place of `on_trial_result` for the result at which its scheduler stops."""
    asking = searcher(storage_at(tmp_path))
    asking.suggest("stopped")
    asking.on_trial_result("stopped", {VALUE: 0.2, BUDGET: 1})
    asking.on_trial_complete("stopped", {VALUE: 0.3, BUDGET: 2})
    study = optuna.load_study(study_name="s", storage=storage_at(tmp_path))
    assert study.trials[0].intermediate_values == {1: 0.2, 2: 0.3}


def test_another_seed_asks_for_something_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    second = []
    for folder, seed in (("a", 1), ("b", 2)):
        asking = searcher(storage_at(tmp_path / folder), seed=seed)
        asking.suggest("t0")
        second.append(asking.suggest("t1"))
    assert second[0] != second[1]


def test_failed_trials_do_not_start_the_study_anew(tmp_path: Path) -> None:
    asked(storage_at(tmp_path), 1)
    study = open_study(storage_at(tmp_path), name="s", starts=[START])
    with pytest.raises(IndexError):
        study.get_trials(states=(optuna.trial.TrialState.WAITING,))[0]
