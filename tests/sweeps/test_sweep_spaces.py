"""Every sweep decodes at both ends of its space, for every choice it offers."""

import importlib
import itertools
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from kdray.cli.sweep import FULL_TRIALS, SAMPLE_TRIALS, SMOKE_TRIALS, usual_trials
from kdray.config import merge, parse
from kdray.experiments.latency import shape_of

SWEEPS = Path(__file__).parents[2] / "sweeps"
NAMES = sorted(path.stem for path in SWEEPS.glob("tune_*.py"))


class End:
    """A trial that answers with one end of every range; of every list of choices it takes the one it was told to."""

    def __init__(self, *, high: bool, choice: int) -> None:
        self.high, self.choice = high, choice
        self.params: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        return self.params.setdefault(name, high if self.high else low)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return self.params.setdefault(name, high if self.high else low)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return self.params.setdefault(name, choices[self.choice % len(choices)])


@pytest.fixture
def sweep_modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(SWEEPS))
    for name in NAMES:
        sys.modules.pop(name, None)
    return {name: importlib.import_module(name) for name in NAMES}


def base_of(module: Any) -> dict[str, Any]:
    return next(getattr(module, name) for name in ("SETTINGS", "BASE") if hasattr(module, name))


def on_corpus(module: Any, *, on_sample: bool) -> dict[str, Any]:
    if on_sample:
        return {**base_of(module), "corpus": {"name": "sample"}, **module.ON_SAMPLE}
    return {**base_of(module), "corpus": {"name": "rte"}}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("on_sample", [False, True])
def test_decodes_at_both_ends(name: str, on_sample: bool, sweep_modules: dict[str, Any]) -> None:
    module = sweep_modules[name]
    plain = on_corpus(module, on_sample=on_sample)
    run = parse(plain, source=name)
    seen, policies = set(), set()
    for high, choice in itertools.product((False, True), range(12)):
        trial = End(high=high, choice=choice)
        decoded = parse(merge(run.model_dump(mode="json"), module.space(trial, run)), source=name)
        seen.add(decoded.method.name)
        assert decoded.train.learning_rate == trial.params["learning_rate"]
        policies.add(decoded.prune.policy.name)
        if decoded.method.name == "rlkd":
            assert decoded.method.gamma == trial.params["gamma"]
        if decoded.method.name == "dekd":
            assert decoded.method.strategy == trial.params["strategy"]
            weights = [decoded.method.lambda1, decoded.method.lambda2, decoded.method.lambda3]
            assert sum(weights) == pytest.approx(1)
            assert run.student.layers < decoded.method.ta_depth < 6
    expected = {"kd", "dekd"} | ({"ens_u", "rlkd"} if len(run.teachers) > 1 else set())
    assert seen == ({"kd"} if on_sample else expected)
    assert policies == ({"lower_tail", "none"} if on_sample else {"lower_tail", "none", "match_rate"})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("on_sample", [False, True])
def test_trial_0_is_the_defaults(name: str, on_sample: bool, sweep_modules: dict[str, Any]) -> None:
    module = sweep_modules[name]
    plain = on_corpus(module, on_sample=on_sample)
    run = parse(plain, source=name)
    params = dict(module.starts(run)[0]["params"])

    class Asked(End):
        def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
            assert low <= params[name] <= high
            return params.pop(name)

        def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
            assert params[name] in choices
            return params.pop(name)

    decoded = merge(run.model_dump(mode="json"), module.space(Asked(high=False, choice=0), run))
    assert parse(decoded, source=name) == run
    assert not params, "parameters that the space does not ask for"


def test_sweeps_are_short() -> None:
    longer = ("tune_rte.py", "ladder.py")  # a space with conditions
    assert all(len((SWEEPS / name).read_text().splitlines()) <= 75 for name in longer)
    others = [path for path in SWEEPS.glob("*.py") if path.name not in longer]
    assert all(len(path.read_text().splitlines()) <= 33 for path in others)


def test_an_assistant_is_between_any_two_depths(sweep_modules: dict[str, Any]) -> None:
    """The choices of `method` are the same for every depth of the student: Optuna allows no others."""
    module = sweep_modules["tune_mrpc"]
    offered = set()
    for layers in (2, 4, 5):
        run = parse({**base_of(module), "corpus": {"name": "mrpc"}, "student": {"layers": layers}}, source="test")

        class Dekd(End):
            def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
                if name == "method":
                    offered.add(tuple(choices))
                    return "dekd"
                return super().suggest_categorical(name, choices)

        decoded = merge(run.model_dump(mode="json"), module.space(Dekd(high=True, choice=1), run))
        method = parse(decoded, source="test").method
        assert method.assistant == (layers < 5)
        if layers < 5:
            assert method.assistant_depths(student=layers, teacher=6) == (5,)
    assert len(offered) == 1


@pytest.mark.parametrize(("method", "points"), [("kd", 9), ("ens_u", 9), ("rlkd", 36)])
def test_the_grid_is_the_papers(method: str, points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SWEEPS))
    grid = importlib.import_module("paper_grid")
    run = parse({**grid.SETTINGS, "corpus": {"name": "mrpc"}, "method": {"name": method}}, source="test")
    starts = grid.starts(run)
    assert [start["label"] for start in starts] == ["defaults"] + [None] * (points - 1)
    found = set()
    for start in starts:
        decoded = merge(run.model_dump(mode="json"), grid.space(optuna.trial.FixedTrial(start["params"]), run))
        settings = parse(decoded, source="test").method
        found.add((settings.temperature, settings.alpha, getattr(settings, "gamma", None)))
    assert found == set(
        itertools.product((5, 10, 20), (0.2, 0.5, 0.7), (0.3, 0.5, 0.7, 0.9) if method == "rlkd" else (None,))
    )
    first = {name: getattr(run.method, name) for name in starts[0]["params"]}
    assert starts[0]["params"] == first, "trial 0 is the method's own settings, as far as they are in the grid"


def test_the_ladder_has_every_student_by_hard_and_soft_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SWEEPS))
    ladder = importlib.import_module("ladder")
    run = parse({**ladder.BASE, "corpus": {"name": "rte"}}, source="test")
    starts = ladder.starts(run)
    found = list[Any]()
    for start in starts:
        decoded = ladder.space(optuna.trial.FixedTrial(start["params"]), run)
        found.append(parse(merge(run.model_dump(mode="json"), decoded), source="test"))
    assert found[0] == run, "trial 0 is the base"
    pairs = [(each.student.architecture.label, each.student.depth, each.method.label) for each in found]
    assert len(set(pairs)) == len(pairs) == 2 * 9
    assert {name for _, _, name in pairs} == {"kd", "finetune", "soft_classic"}
    shapes = [parse(merge(run.model_dump(mode="json"), each), source="test") for each in ladder.shapes().values()]
    assert {shape_of(each) for each in shapes} == {shape_of(each) for each in found}, "every student is timed"


@pytest.mark.parametrize(
    ("corpus", "starts", "is_smoke", "wanted"),
    [
        ("sample", 1, False, SAMPLE_TRIALS),
        ("sample", 72, False, 72),
        ("sample", 1, True, SMOKE_TRIALS),
        ("rte", 1, False, FULL_TRIALS),
        ("rte", 72, False, 72),
        ("rte", 72, True, SMOKE_TRIALS),
    ],
)
def test_the_number_of_trials_follows_from_the_corpus(corpus: str, starts: int, is_smoke: bool, wanted: int) -> None:
    run = parse({"corpus": {"name": corpus}}, source="test")
    assert usual_trials(run, [{}] * starts, is_smoke=is_smoke) == wanted
