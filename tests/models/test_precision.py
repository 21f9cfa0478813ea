"""Which precision is chosen on which hardware, and how it is found out once."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from kdray import compat
from kdray.models import precision, resolve_precision
from kdray.models.precision import answer_file, measured, step_seconds


@pytest.fixture(autouse=True)
def forget() -> Any:
    measured.cache_clear()
    yield
    measured.cache_clear()


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A processor with bf16 instructions, an empty cache folder, and how long its steps take."""
    found: dict[str, Any] = {"seconds": (0.02, 0.01), "calls": 0}

    def seconds() -> tuple[float, float]:
        found["calls"] += 1
        return found["seconds"]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(compat, "has_bf16_instructions", lambda: True)
    monkeypatch.setattr(precision, "step_seconds", seconds)
    monkeypatch.setenv("KDRAY_CACHE", str(tmp_path / "cache"))
    return found


@pytest.mark.parametrize(("seconds", "chosen"), [((0.02, 0.01), "bf16"), ((0.02, 0.019), "fp32"), ((0.02, 1), "fp32")])
def test_a_processor_gets_bf16_where_a_step_is_faster(
    seconds: tuple[float, float], chosen: str, steps: dict[str, Any]
) -> None:
    steps["seconds"] = seconds
    assert resolve_precision("auto") == chosen


def test_it_is_measured_once_and_says_what_it_took(steps: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "kdray"):
        assert resolve_precision("auto") == "bf16"
    assert "takes 20.0 ms in fp32, 10.0 ms in bf16" in caplog.text
    measured.cache_clear()  # another process
    steps["seconds"] = (0.01, 0.02)
    assert resolve_precision("auto") == "bf16"
    assert steps["calls"] == 1
    file = answer_file()
    assert json.loads(file.read_text())["bf16_ms"] == 10.0
    file.write_text("{")  # torn by hand
    measured.cache_clear()
    assert resolve_precision("auto") == "fp32"
    assert steps["calls"] == 2


@pytest.mark.parametrize(("has_units", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_nothing_is_measured_where_nothing_can_be_kept(
    has_units: bool, chosen: str, steps: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDRAY_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(compat, "has_amx", lambda: has_units)
    assert resolve_precision("auto") == chosen
    assert steps["calls"] == 0


def test_a_processor_without_instructions_for_bf16_gets_fp32(
    steps: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compat, "has_bf16_instructions", lambda: False)
    assert resolve_precision("auto") == "fp32"
    assert steps["calls"] == 0


def test_a_hopeless_precision_is_tried_in_one_round() -> None:
    now = [0.0]
    took = iter([1.0, 9.0, 1.0, 9.0])  # fp32 and bf16 in turns, the first of each is the warm-up
    starts = [True]

    def clock() -> float:
        if not starts[0]:
            now[0] += next(took)
        starts[0] = not starts[0]
        return now[0]

    random = torch.random.get_rng_state()
    assert step_seconds(clock) == (1.0, 9.0)
    assert torch.equal(torch.random.get_rng_state(), random)


@pytest.mark.parametrize(("has_units", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_gets_bf16_only_without_emulation(has_units: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or has_units
    )
    assert resolve_precision("auto") == chosen
