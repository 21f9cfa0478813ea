"""The study is the source of truth: a search that goes on asks what an unbroken one would have asked."""

import pickle
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest

from kdray.errors import ConfigError
from kdray.experiments.budget import Budget
from kdray.experiments.history import front
from kdray.experiments.reported import BUDGET, VALUE
from kdray.experiments.study import SweepStudy, check_place, check_storage, metric_of, open_study
from kdray.tuning.callbacks import ProgressCallback
from kdray.tuning.searcher import StudyScheduler, StudySearcher
from kdray.tuning.stopper import Stopper

START = {"label": "defaults", "params": {"x": 0.5, "kind": "a"}}
EPOCHS = 3
FULL = EPOCHS + 1
FINISHED = "FINISHED"
END = {"digest": "d", "test": 0.5, "epochs": EPOCHS, "latency": 1.0, "parameters": 10}


def space(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0, 1), "kind": trial.suggest_categorical("kind", ["a", "b"])}


def study_in(folder: Path) -> SweepStudy:
    folder.mkdir(exist_ok=True)
    return open_study(f"sqlite:///{folder / 'study.db'}", name="s", folder=folder, starts=[START])


def searcher(folder: Path, *, seed: int = 7, total: int = 100, **settings: Any) -> StudySearcher:
    return StudySearcher(study_in(folder), space, seed=seed, total=total, full_budget=FULL, **settings)


def suggested(asking: StudySearcher, name: str) -> dict[str, Any]:
    config = asking.suggest(name)
    assert isinstance(config, dict)
    return config


def score(config: dict[str, Any], epoch: int = EPOCHS) -> float:
    return 1 - (config["overrides"]["x"] - 0.3) ** 2 - 0.1 * (EPOCHS - epoch)


def finish(asking: StudySearcher, name: str, config: dict[str, Any]) -> None:
    asking.on_trial_complete(name, {VALUE: score(config), BUDGET: FULL, **END})


def goes_through(asking: StudySearcher, name: str, config: dict[str, Any]) -> None:
    """Epoch by epoch, as Tune tells it: stopped when the study says so, finished otherwise."""
    for epoch in range(1, EPOCHS + 1):
        result = {VALUE: score(config, epoch), BUDGET: epoch}
        if asking.should_stop(name, result):
            asking.on_trial_complete(name, result)
            return
    finish(asking, name, config)


def asked(folder: Path, number: int, *, broken_at: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """The configurations of `number` trials; the driver dies in the middle of those in `broken_at`."""
    asking, configs = searcher(folder), []
    for i in range(number):
        config = suggested(asking, f"t{i}")
        if i in broken_at:
            asking.should_stop(f"t{i}", {VALUE: score(config, 1), BUDGET: 1})
            asking = searcher(folder)
            assert suggested(asking, f"t{i}") == config
        configs.append(config)
        goes_through(asking, f"t{i}", config)
    return configs


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in study_in(folder).study.trials]


def test_first_trial_is_the_defaults(tmp_path: Path) -> None:
    assert suggested(searcher(tmp_path), "t") == {"number": 0, "overrides": START["params"]}


def test_suggestions_never_exceed_the_present_capacity(tmp_path: Path) -> None:
    room = 1
    asking = searcher(tmp_path, total=5, capacity=lambda: room)
    first = suggested(asking, "t0")
    assert asking.suggest("t1") is None
    room = 3  # a node came
    configs = {name: suggested(asking, name) for name in ("t1", "t2")}
    assert asking.suggest("t3") is None
    room = 1  # and went
    finish(asking, "t0", first)
    finish(asking, "t1", configs["t1"])
    assert asking.suggest("t3") is None
    finish(asking, "t2", configs["t2"])
    assert suggested(asking, "t3")["number"] == 3
    assert states(tmp_path) == ["COMPLETE"] * 3 + ["RUNNING"]


def test_a_broken_search_is_the_unbroken_one(tmp_path: Path) -> None:
    """The same trials under the same numbers, and the same of them stopped early."""
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    assert asked(broken, 12, broken_at=(0, 7, 8)) == asked(whole, 12)
    assert states(broken) == states(whole)
    assert {"COMPLETE", "PRUNED"} == set(states(whole))


def test_a_resumed_trial_may_report_its_epochs_again(tmp_path: Path) -> None:
    first = searcher(tmp_path)
    cut = suggested(first, "t0")
    first.should_stop("t0", {VALUE: 0.4, BUDGET: 1})  # the driver dies here
    second = searcher(tmp_path)
    assert suggested(second, "again") == cut
    second.should_stop("again", {VALUE: 0.4, BUDGET: 1})
    second.should_stop("again", {VALUE: 0.5, BUDGET: 2})
    finish(second, "again", cut)
    sweep_study = study_in(tmp_path)
    assert len(sweep_study.finished_trials()) == len(sweep_study.study.trials) == 1
    assert sweep_study.study.trials[0].intermediate_values == {1: 0.4, 2: 0.5}


def costly_searcher(folder: Path) -> StudySearcher:
    folder.mkdir(exist_ok=True)
    objectives = ("metric", "latency", "parameters")
    url = f"sqlite:///{folder / 'study.db'}"
    sweep_study = open_study(url, name="s", folder=folder, starts=[START], objectives=objectives)
    return StudySearcher(sweep_study, space, seed=7, total=100, full_budget=FULL, objectives=objectives)


def test_several_objectives_are_recorded_in_order_and_stop_no_trial(tmp_path: Path) -> None:
    """A broken search with several objectives is the unbroken one, too."""
    for folder, breaks in ((tmp_path / "whole", ()), (tmp_path / "broken", (3, 8))):
        asking = costly_searcher(folder)
        for number in range(12):
            name, config = f"t{number}", suggested(asking, f"t{number}")
            if number in breaks:
                asking = costly_searcher(folder)
                assert suggested(asking, name) == config
            assert not any(asking.should_stop(name, {VALUE: 0.0, BUDGET: epoch}) for epoch in range(1, EPOCHS + 1))
            x = config["overrides"]["x"]
            costs = {"parameters": round(100 * x), "latency": 1 + x}
            asking.on_trial_complete(name, {VALUE: x, BUDGET: FULL, **END, **costs})
    studies = [study_in(tmp_path / name).study for name in ("whole", "broken")]
    assert studies[0].directions == [optuna.study.StudyDirection(2), *[optuna.study.StudyDirection(1)] * 2]
    whole, broken = ([(t.params, t.values) for t in study.trials] for study in studies)
    assert whole == broken
    assert whole[0] == (START["params"], [0.5, 1.5, 50])
    assert front(study_in(tmp_path / "whole")) == sorted(t.number for t in studies[0].best_trials)
    assert front(study_in(tmp_path / "other")) is None


@pytest.mark.parametrize("sampling", ["tpe", "random"])
def test_samplers_suggest_by_seed_and_number(tmp_path: Path, sampling: str) -> None:
    def configs(name: str, seed: int) -> list[dict[str, Any]]:
        asking = searcher(tmp_path / name, seed=seed, sampling=sampling)
        found = []
        for number in range(8):
            found.append(suggested(asking, f"t{number}"))
            finish(asking, f"t{number}", found[-1])
        return found

    assert configs("one", 1) == configs("same", 1)
    assert configs("two", 2)[1:] != configs("one-more", 1)[1:]


def side_by_side(folder: Path, order: str, **settings: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Twelve trials, two at a time; of each two the `first` or the `second` is always an epoch ahead."""
    asking, configs = searcher(folder, **settings), []
    for pair in range(6):
        two = {f"t{2 * pair + k}": suggested(asking, f"t{2 * pair + k}") for k in range(2)}
        configs += two.values()
        for name in two if order == "first" else reversed(two):
            goes_through(asking, name, two[name])
    return configs, states(folder)


def test_random_trials_without_early_stops_repeat_however_many_run_at_a_time(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"sampling": "random", "pruning": "none"}
    first, second = (side_by_side(tmp_path / order, order, **settings) for order in ("first", "second"))
    assert first == second
    assert len({config["overrides"]["x"] for config in first[0]}) == 12


def test_several_trials_at_a_time_stop_others_by_who_reported_first(tmp_path: Path) -> None:
    """README says that this does not repeat; a search that repeats it could promise more."""
    settings: dict[str, Any] = {"sampling": "random", "pruning": "asha"}
    first, second = (side_by_side(tmp_path / order, order, **settings) for order in ("first", "second"))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_no_more_trials_than_wanted(tmp_path: Path) -> None:
    asking = searcher(tmp_path, total=2)
    for name in ("t0", "t1"):
        finish(asking, name, suggested(asking, name))
    assert asking.suggest("t2") == FINISHED
    assert states(tmp_path) == ["COMPLETE", "COMPLETE"]


def test_one_too_many_is_withdrawn_and_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two drivers look at the same moment: both see room for one more, and both ask."""
    one, other = study_in(tmp_path), study_in(tmp_path)
    before = one.counted_trials()
    assert one.ask(total=1) is not None
    with monkeypatch.context() as patched:
        answers = iter([before])
        real = other.counted_trials
        patched.setattr(other, "counted_trials", lambda: next(answers, None) or real())
        assert other.ask(total=1) is None
    assert [trial.number for trial in one.counted_trials()] == [0]
    assert one.ask(total=2) is not None
    assert [trial.number for trial in one.counted_trials()] == [0, 2]


def test_early_stopped_trial_is_pruned_and_failed_one_failed(tmp_path: Path) -> None:
    asking = searcher(tmp_path)
    suggested(asking, "stopped")
    asking.should_stop("stopped", {VALUE: 0.2, BUDGET: 1})
    asking.on_trial_complete("stopped", {VALUE: 0.2, BUDGET: 1})
    suggested(asking, "failed")
    asking.on_trial_complete("failed", error=True)
    asking.fail("failed", error="it broke")
    trials = study_in(tmp_path).study.trials
    assert [trial.state.name for trial in trials] == ["PRUNED", "FAIL"]
    assert trials[0].intermediate_values == {1: 0.2}
    assert trials[1].user_attrs["error"] == "it broke"


def test_failed_trials_are_tried_again_with_their_own_settings(tmp_path: Path) -> None:
    asking = searcher(tmp_path)
    finish(asking, "t0", suggested(asking, "t0"))
    broken = suggested(asking, "t1")
    asking.fail("t1", error="it broke")
    finish(asking, "t2", suggested(asking, "t2"))
    sweep_study = study_in(tmp_path)
    assert sweep_study.retry_failed() == [1]
    again = searcher(tmp_path, total=3)
    config = suggested(again, "t3")
    assert (config["number"], config["overrides"]) == (3, broken["overrides"])
    finish(again, "t3", config)
    assert [trial.number for trial in sweep_study.finished_trials()] == [0, 2, 3]
    assert again.suggest("t4") == FINISHED
    assert sweep_study.retry_failed() == []


def test_a_search_that_ends_early_leaves_its_trials_to_the_next(tmp_path: Path) -> None:
    asking = searcher(tmp_path)
    config = suggested(asking, "t0")
    asking.should_stop("t0", {VALUE: 0.4, BUDGET: 1})
    asking.is_closing = True
    asking.on_trial_complete("t0", {VALUE: 0.4, BUDGET: 1})
    assert states(tmp_path) == ["RUNNING"]
    assert suggested(searcher(tmp_path), "t0") == config


def test_the_last_epoch_is_not_stopped_because_it_is_over(tmp_path: Path) -> None:
    asking = searcher(tmp_path)
    for number, value in enumerate((0.9, 0.1)):
        suggested(asking, f"t{number}")
        assert not asking.should_stop(f"t{number}", {VALUE: value, BUDGET: EPOCHS})


@pytest.mark.parametrize(("pruning", "stops"), [("asha", True), ("median", False), ("none", False)])
def test_who_stops_early(tmp_path: Path, pruning: Any, stops: bool) -> None:
    asking = searcher(tmp_path, pruning=pruning)
    suggested(asking, "good")
    asking.should_stop("good", {VALUE: 0.9, BUDGET: 1})
    suggested(asking, "poor")
    assert asking.should_stop("poor", {VALUE: 0.1, BUDGET: 1}) is stops


def test_a_metric_that_is_better_when_lower_is_minimized(tmp_path: Path) -> None:
    sweep_study = open_study(
        f"sqlite:///{tmp_path / 'study.db'}", name="s", folder=tmp_path, starts=[START], higher_is_better=False
    )
    asking = StudySearcher(sweep_study, space, seed=7, total=100, full_budget=FULL)
    assert asking.mode == "min"
    for number, loss in enumerate((0.5, 0.2, 0.2, 0.9)):
        suggested(asking, str(number))
        asking.on_trial_complete(str(number), {VALUE: loss, BUDGET: FULL, **END})
    assert sweep_study.progress().best == 0.2
    assert min(sweep_study.finished_trials(), key=sweep_study.best_first).number == 1
    suggested(asking, "4")
    assert asking.should_stop("4", {VALUE: 0.1, BUDGET: 1}) is False
    asking.should_stop("4", {VALUE: 0.05, BUDGET: 2})
    running = sweep_study.study.get_trials(deepcopy=False)[-1]
    assert metric_of(running, higher_is_better=False) == 0.05
    assert metric_of(running, higher_is_better=True) == 0.1


def test_another_seed_suggests_other_values(tmp_path: Path) -> None:
    second = []
    for folder, seed in (("a", 1), ("b", 2)):
        asking = searcher(tmp_path / folder, seed=seed)
        suggested(asking, "t0")
        second.append(suggested(asking, "t1"))
    assert second[0] != second[1]


def test_failed_trials_do_not_restart_the_study(tmp_path: Path) -> None:
    asked(tmp_path, 1)
    waiting = study_in(tmp_path).study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    assert waiting == []


def test_what_tune_pickles_into_the_store_has_no_database_url(tmp_path: Path) -> None:
    """Its URL may hold a password."""
    asking = searcher(tmp_path)
    suggested(asking, "t0")
    stopper = Stopper(asking, asking._sweep_study, Budget(), gpus=0)
    assert b"study.db" not in pickle.dumps(
        [asking, StudyScheduler(asking), stopper, ProgressCallback("s", asking, 1, capacity=int)]
    )


def test_a_local_study_has_one_driver(tmp_path: Path) -> None:
    sweep_study = study_in(tmp_path)
    with (
        sweep_study.lock_driver(),
        pytest.raises(ConfigError, match="is at work in another process"),
        study_in(tmp_path).lock_driver(),
    ):
        pass
    with study_in(tmp_path).lock_driver():
        pass


def test_a_new_database_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """Each finds no tables and makes them, and all but one find that they are there."""
    together, refused = threading.Barrier(6), list[str]()

    def opens() -> None:
        together.wait()
        try:
            check_storage(f"sqlite:///{tmp_path / 'study.db'}")
        except Exception as error:
            refused.append(str(error))

    threads = [threading.Thread(target=opens) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []


@pytest.mark.parametrize("url", [None, "sqlite:///study.db", "mysql://me@host/db"])
def test_a_sweep_in_a_bucket_needs_a_database_server_that_locks(url: str | None) -> None:
    with pytest.raises(ConfigError, match="a sweep in a bucket keeps its study in PostgreSQL"):
        check_place(url, on_disk=False)


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_study("nonsense://me:secret@host/db", name="s", folder=tmp_path, starts=[])
    assert "nonsense://me:***@host/db" in str(caught.value)
    assert "secret" not in str(caught.value)
