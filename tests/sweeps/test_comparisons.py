"""The comparisons among the sweeps: what they compare can be trained."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from kdray.config import RunConfig, apply_overrides, parse
from kdray.errors import ConfigError
from kdray.experiments.compare import candidates_of
from kdray.experiments.confirm import BASELINE, Candidate

SWEEPS = Path(__file__).parents[2] / "sweeps"
NAMES = ("ablate_dekd", "selection_ratio", "ta_depth")


@pytest.fixture(params=NAMES)
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SWEEPS))
    sys.modules.pop(request.param, None)
    return importlib.import_module(request.param)


def run_of(module: Any, *, on_sample: bool) -> RunConfig:
    corpus = {"corpus": {"name": "sample" if on_sample else "mrpc"}}
    return parse({**module.SETTINGS, **corpus, **(module.ON_SAMPLE if on_sample else {})}, source="test")


@pytest.mark.parametrize("on_sample", [False, True])
def test_every_variant_is_another_student_that_can_be_trained(module: Any, on_sample: bool) -> None:
    run = run_of(module, on_sample=on_sample)
    *variants, alone = _without_control(candidates_of(module.variants(run), run))
    assert (alone.label, alone.run.method.name) == (BASELINE, "finetune")
    assert len(variants) >= 3
    methods = [each.run.method for each in variants]
    assert len({method.model_dump_json() for method in methods}) == len(variants)
    for method in methods:
        assert method.name == "dekd"
        if method.uses_assistant:
            (depth,) = method.assistant_depths(student=run.student.layers, teacher=6)
            assert run.student.layers < depth < 6


def _without_control(candidates: list[Candidate]) -> list[Candidate]:
    return [each for each in candidates if each.label != "student from teacher layers, no KD"]


def test_a_student_from_teacher_layers_is_compared_with_these_layers_without_kd() -> None:
    plain = {"teachers": [{"name": "t"}], "student": {"init_from": "teacher", "layers": 3}, "method": {"name": "kd"}}
    run = parse(plain, source="test")
    *_, baseline, control = candidates_of({"kd": {}}, run)
    assert (baseline.run.student.init_from, control.run.student.init_from) == ("encoder", "teacher")
    assert control.run.method.name == "finetune"
    own = {"kd": {}, "layers": {"method": {"name": "finetune"}}}
    assert [each.label for each in candidates_of(own, run)] == ["kd", "layers", BASELINE]
    encoder = parse({**plain, "student": {"layers": 3}}, source="test")
    assert [each.label for each in candidates_of({"kd": {}}, encoder)] == ["kd", BASELINE]


def test_a_variant_that_does_not_fit_is_named_before_anything_is_made() -> None:
    with pytest.raises(ConfigError, match=r"too warm.*temperature"):
        candidates_of({"fits": {}, "too warm": {"method": {"name": "kd", "temperature": -1}}}, parse({}, source="test"))


def test_the_command_lines_settings_of_dekd_hold_in_every_variant(module: Any) -> None:
    changes = ["method.temperature=2", "method.direction=reverse", "method.strategy=random", "method.lambda3=0.05"]
    plain = {**module.SETTINGS, "corpus": {"name": "mrpc"}}
    run = parse(apply_overrides(plain, changes), source="test")
    for variant in _without_control(candidates_of(module.variants(run), run))[:-1]:
        method: Any = variant.run.method
        assert (method.temperature, method.direction) == (2, "reverse")
        assert method.lambda3 == (0 if "alignment" in variant.label else 0.05)
        searched = "selection" in variant.label or method.r == 1  # where every row is selected, no strategy is used
        assert searched or method.strategy == "random", variant.label


def test_a_comparison_of_dekd_with_another_method_is_refused(module: Any) -> None:
    run = parse({**module.SETTINGS, "corpus": {"name": "mrpc"}, "method": {"name": "kd"}}, source="test")
    with pytest.raises(ConfigError, match=r"unknown setting"):
        candidates_of(module.variants(run), run)


def test_they_are_short() -> None:
    assert all(len((SWEEPS / f"{name}.py").read_text().splitlines()) <= 30 for name in NAMES)
