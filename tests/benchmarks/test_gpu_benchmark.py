"""The GPU benchmark's own formulas, which it cannot take from kdray, and a run of it on the CPU."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import tensor
from torch.utils.flop_counter import FlopCounterMode

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_vanilla_kd_of_a_worked_example(gpu: Any) -> None:
    teacher = tensor([[2, 1, 0.1], [0.5, 2.5, -1]])
    student = tensor([[1, 1.5, 0.5], [0.2, 1, 0.3]])
    assert gpu.kd_loss(student, teacher, tensor([0, 1])) == pytest.approx(0.681900, abs=1e-6)


def test_dekd_of_a_worked_example(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "DEKD_SHARE", 1.0)
    student = tensor([[3, 0, 0], [1, 0.9, 0.8], [2, 1.9, -1], [0.5, 0, -0.5]])
    cls = tensor([[1.0, 2, 3, 4], [0.1, 0.1, 0.1, 0.1], [5, 0, 0, 0], [1, 1, 2, 0]]).expand(4, -1, -1)
    choice = gpu.choose(student, cls, layers=2)
    assert choice.plain() == ([0, 2], [1, 3], [1, 3])
    batch = {
        "teacher": tensor([[4, 0, -1], [1.5, 0.5, 0.2], [2.5, 1, -1], [1, 0.2, -0.8]]),
        "assistant": tensor([[3.5, 0.2, -0.8], [1.2, 0.8, 0.3], [2.2, 1.4, -0.9], [0.8, 0.3, -0.6]]),
        "cls": torch.cat([torch.zeros(4, 1, 4), cls], dim=1),
        "labels": tensor([0, 1, 0, 2]),
    }
    ours = tensor([[0.5, 0.5, 0.5, 0.5], [1, 0, 1, 1]]).expand(4, -1, -1)
    assert gpu.dekd_loss(student, ours, batch, choice) == pytest.approx(0.646698, abs=1e-6)


def test_tinybert_leaves_padding_out(gpu: Any) -> None:
    """One row of two tokens and a padded one: (0.5² + 1)/4 of states, (1 + 0 + 0 + 3²)/4 of maps."""
    ours = gpu.Seen(torch.zeros(1, 3), [tensor([[[0.5, 0], [1, 0], [7, 7]]])], [torch.zeros(1, 1, 3, 3)])
    maps = tensor([[[[1.0, 0, 9], [0, 3, 9], [9, 9, 9]]]])
    theirs = gpu.Seen(torch.zeros(1, 3), [torch.zeros(1, 3, 2)], [maps])
    assert gpu.tinybert_loss(ours, theirs, tensor([[1, 1, 0]])) == pytest.approx(1.25 / 4 + 10 / 4)


def test_scores_are_those_before_the_softmax_of_eager_attention(gpu: Any) -> None:
    model = gpu.TINY.build(4, "eager", seed=0, dropout=0.0, spread=0.1)
    batch = gpu.random_batch(tensor([8, 8]), gpu.TINY, cached=(), teacher_layers=4, seed=0)
    kinds = {kind.name: kind for kind in gpu.KINDS}
    with torch.no_grad():
        probabilities = gpu.Reader(model, kinds["tinybert_eager"], torch.float32, every=2)(batch).maps
        scores = gpu.Reader(model, kinds["tinybert"], torch.float32, every=2)(batch).maps
    assert len(scores) == 2
    for mine, theirs in zip(scores, probabilities, strict=True):
        torch.testing.assert_close(mine.softmax(-1), theirs)


def test_flops_are_those_that_torch_counts(gpu: Any) -> None:
    """A training step is three times its forward pass, but for the gradient to token ids, which have none."""
    model = gpu.TINY.build(2, "eager", seed=0, dropout=0.0)
    batch = gpu.random_batch(tensor([24, 24]), gpu.TINY, cached=(), teacher_layers=4, seed=0)
    tokens = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with FlopCounterMode(display=False) as counter:
        loss = model(**tokens).logits.sum()
        forward = counter.get_total_flops()
        loss.backward()
    assert forward == 2 * gpu.TINY.flops(2, 24)
    assert counter.get_total_flops() == 3 * forward


def test_bucketed_batches_hold_rows_of_like_length(gpu: Any) -> None:
    batches = gpu.lengths_of("bucketed", batch_rows=32, batches=10, longest=128, seed=0)
    assert [len(each) for each in batches] == [32] * 10
    assert all(8 <= int(each.min()) <= int(each.max()) <= 128 for each in batches)
    real = sum(int(each.sum()) for each in batches) / sum(32 * int(each.max()) for each in batches)
    assert real > 0.85
    assert len({int(each.max()) for each in batches}) > 5


def test_what_does_not_fit_is_a_row_with_the_reason(gpu: Any) -> None:
    setting = gpu.setting_of(quick=True, cpu=True, compiled=False)
    huge = gpu.Case(gpu.KINDS[0], layers=2, rows=10**13, lengths="32")
    row = gpu.measure(huge, setting, gpu.stock_of(setting), peak=1.0)
    assert (row.note, row.ms, row.failed) == ("out of memory", None, False)


def test_other_gradients_are_beyond_tolerance(gpu: Any) -> None:
    cpu, variant = torch.device("cpu"), gpu.Variant("eager", "float32", True)
    plain, kd = (gpu.outcome_of(kind, variant, cpu) for kind in gpu.KINDS[:2])
    assert gpu.differences(plain, plain)[:2] == (0, 0)
    assert gpu.check(gpu.KINDS[0], variant, cpu, kd).failed


@pytest.mark.slow
def test_the_whole_script_runs_on_a_cpu(gpu: Any, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    assert gpu.main(["--cpu", "--quick", "--out", str(path)]) == 0
    found = json.loads(path.read_text())
    assert {row["step"] for row in found["rows"]} == {kind.name for kind in gpu.KINDS}
    assert not any(each["failed"] for each in found["checks"] + found["rows"])
    assert all(0 < row["share"] < 1 for row in found["rows"])
