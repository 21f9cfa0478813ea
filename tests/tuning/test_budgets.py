"""When a search ends early, and what it refuses to begin."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdray.config import parse
from kdray.errors import ConfigError
from kdray.experiments.budget import Budget
from kdray.experiments.reported import BUDGET, VALUE
from kdray.experiments.search import _same_base, pruning_of
from kdray.experiments.settings import SweepSettings
from kdray.experiments.study import SweepStudy, open_study
from kdray.tuning import stopper as budgets
from kdray.tuning.searcher import StudySearcher
from kdray.tuning.stopper import Stopper

START = {"label": "defaults", "params": {"x": 0.5}}


def space(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0, 1)}


def settings() -> SweepSettings:
    return SweepSettings("s", space, [START], trials=9, gpus=0.5)


@pytest.fixture
def sweep_study(tmp_path: Path) -> SweepStudy:
    return open_study(f"sqlite:///{tmp_path / 'study.db'}", name="s", folder=tmp_path, starts=[START])


@pytest.fixture
def searcher(sweep_study: SweepStudy) -> StudySearcher:
    return StudySearcher(sweep_study, space, seed=0, total=9, full_budget=2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(budgets.time, "monotonic", lambda: now.seconds)
    return now


def ends(asking: StudySearcher, name: str, *, hours: float) -> None:
    assert isinstance(asking.suggest(name), dict)
    asking.note(name, started=0.0, ended=3600 * hours)
    asking.on_trial_complete(
        name, {VALUE: 0.5, BUDGET: 2, "digest": "d", "test": 0.5, "epochs": 1, "latency": 1, "parameters": 1}
    )


def test_without_a_budget_it_never_ends(
    searcher: StudySearcher, sweep_study: SweepStudy, clock: SimpleNamespace
) -> None:
    stopper = Stopper(searcher, sweep_study, Budget(), gpus=0.5)
    clock.seconds = 1e9
    assert not stopper.stop_all()


def test_wall_time(searcher: StudySearcher, sweep_study: SweepStudy, clock: SimpleNamespace) -> None:
    stopper = Stopper(searcher, sweep_study, Budget(hours=2), gpus=0.5)
    clock.seconds = 7100
    assert not stopper.stop_all()
    clock.seconds = 7300
    assert stopper.stop_all()
    assert stopper.reason == "--max-hours 2 are over"
    assert searcher.is_closing


def test_gpu_hours_count_the_share_of_a_gpu(
    searcher: StudySearcher, sweep_study: SweepStudy, clock: SimpleNamespace
) -> None:
    stopper = Stopper(searcher, sweep_study, Budget(gpu_hours=2), gpus=0.5)
    ends(searcher, "t0", hours=3)  # on half a GPU
    clock.seconds = 10
    assert not stopper.stop_all()
    ends(searcher, "t1", hours=1.5)
    clock.seconds = 20
    assert stopper.stop_all()
    assert stopper.reason == "--max-gpu-hours 2 are used up"


def test_failures(searcher: StudySearcher, sweep_study: SweepStudy, clock: SimpleNamespace) -> None:
    stopper = Stopper(searcher, sweep_study, Budget(failures=2), gpus=0.5)
    for number in range(2):
        clock.seconds += 10
        assert not stopper.stop_all()
        searcher.suggest(f"t{number}")
        searcher.fail(f"t{number}", error="it broke")
    clock.seconds += 10
    assert stopper.stop_all()
    assert stopper.reason == "2 trials have failed, --max-failures is 2"


def test_a_study_is_not_continued_with_other_settings(sweep_study: SweepStudy) -> None:
    begun = parse({"train": {"epochs": 2}, "store": "here"}, source="test")
    _same_base(sweep_study, begun, settings())
    _same_base(sweep_study, parse({"train": {"epochs": 2}, "store": "there"}, source="test"), settings())
    with pytest.raises(ConfigError, match=r"began with other settings \(train.epochs was 2, is 4\)"):
        _same_base(sweep_study, parse({"train": {"epochs": 4}}, source="test"), settings())


def test_stopping_by_one_score_is_refused_where_there_are_several(tmp_path: Path) -> None:
    objectives = ("metric", "parameters")
    assert pruning_of(SweepSettings("s", space, [START], trials=1)) == "asha"
    assert pruning_of(SweepSettings("s", space, [START], trials=1, pruning="median")) == "median"
    assert pruning_of(SweepSettings("s", space, [START], trials=1, objectives=objectives)) == "none"
    with pytest.raises(ConfigError, match="--pruning asha compares trials by one score"):
        pruning_of(SweepSettings("s", space, [START], trials=1, objectives=objectives, pruning="asha"))


def test_other_objectives_are_another_sweep(sweep_study: SweepStudy) -> None:
    run = parse({}, source="test")
    _same_base(sweep_study, run, SweepSettings("s", space, [START], trials=1))
    _same_base(sweep_study, run, SweepSettings("s", space, [START], trials=5))
    with pytest.raises(
        ConfigError, match=r"other settings \(objectives was \['metric'\], is \['metric', 'latency'\]\)"
    ):
        _same_base(sweep_study, run, SweepSettings("s", space, [START], trials=1, objectives=("metric", "latency")))
