"""The GPU benchmark's steps with kdray's methods, its counts, and a run of it on the CPU."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, tensor
from torch.utils.flop_counter import FlopCounterMode

from kdray.methods import DeKD
from kdray.signals import Signals
from kdray.train import SingleRank

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


def loss_of(gpu: Any, kind: Any, student: Signals, batch: dict[str, Tensor], teacher: Signals | None = None) -> float:
    """The loss of a step with these signals in place of models."""
    pair = gpu.TeacherStudent(kind, lambda _batch: student, None if teacher is None else lambda _batch: teacher)
    return float(pair.loss(batch, SingleRank()).loss)


def kind_of(gpu: Any, name: str) -> Any:
    return next(kind for kind in gpu.KINDS if kind.name == name)


def test_vanilla_kd_of_a_worked_example(gpu: Any) -> None:
    teacher = tensor([[2, 1, 0.1], [0.5, 2.5, -1]])
    student = Signals(tensor([[1, 1.5, 0.5], [0.2, 1, 0.3]]))
    labels = tensor([0, 1])
    cached = loss_of(gpu, kind_of(gpu, "kd"), student, {"teacher": teacher, "labels": labels})
    online = loss_of(gpu, kind_of(gpu, "kd_online"), student, {"labels": labels}, Signals(teacher))
    assert (cached, online) == pytest.approx((0.681900, 0.681900), abs=1e-6)


def test_dekd_of_a_worked_example(gpu: Any) -> None:
    kind = replace(kind_of(gpu, "dekd"), method=DeKD(r=1))
    cls = tensor([[1.0, 2, 3, 4], [0.1, 0.1, 0.1, 0.1], [5, 0, 0, 0], [1, 1, 2, 0]]).expand(4, -1, -1)
    batch = {
        "teacher": tensor([[4, 0, -1], [1.5, 0.5, 0.2], [2.5, 1, -1], [1, 0.2, -0.8]]),
        "assistant": tensor([[3.5, 0.2, -0.8], [1.2, 0.8, 0.3], [2.2, 1.4, -0.9], [0.8, 0.3, -0.6]]),
        "cls": torch.cat([torch.zeros(4, 1, 4), cls], dim=1),
        "labels": tensor([0, 1, 0, 2]),
    }
    ours = tensor([[0.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [1, 0, 1, 1]]).expand(4, -1, -1)
    student = Signals(tensor([[3, 0, 0], [1, 0.9, 0.8], [2, 1.9, -1], [0.5, 0, -0.5]]), cls=ours)
    assert loss_of(gpu, kind, student, batch) == pytest.approx(0.646698, abs=1e-6)


def test_tinybert_leaves_padding_out(gpu: Any) -> None:
    """One row of two tokens and a padded one: (0.5² + 1)/4 of states, (1 + 0 + 0 + 3²)/4 of maps."""
    maps = tensor([[[[1.0, 0, 9], [0, 3, 9], [9, 9, 9]]]])
    ours, theirs = (
        Signals(torch.zeros(1, 3), hidden=hidden[None], attn=attention[None], mask=tensor([[True, True, False]]))
        for hidden, attention in (
            (tensor([[[0.0, 0], [0, 0], [5, 5]], [[0.5, 0], [1, 0], [7, 7]]]), torch.zeros(1, 1, 3, 3)),
            (torch.zeros(2, 3, 2), maps),
        )
    )
    loss = loss_of(gpu, kind_of(gpu, "tinybert"), ours, {"labels": tensor([0])}, theirs)
    assert loss == pytest.approx(1.25 / 4 + 10 / 4)


def test_scores_are_those_before_the_softmax_of_eager_attention(gpu: Any) -> None:
    model = gpu.TINY.build(4, "eager", seed=0, dropout=0.0, spread=0.1)
    batch = gpu.random_batch(tensor([8, 8]), gpu.TINY, cached=(), teacher_layers=4, seed=0)
    with torch.no_grad():
        probabilities, scores = (
            gpu.Reader(model, kind_of(gpu, name), torch.float32)(batch).attn for name in ("tinybert_eager", "tinybert")
        )
    assert scores.shape == (2, 4, 4, 8, 8)
    torch.testing.assert_close(scores.softmax(-1), probabilities)


def test_dekd_selects_rows_by_the_ranking_that_is_given(gpu: Any) -> None:
    variant = gpu.Variant("eager", "float32", True)
    first = gpu.outcome_of(kind_of(gpu, "dekd"), variant, torch.device("cpu"))
    again = gpu.outcome_of(kind_of(gpu, "dekd"), variant, torch.device("cpu"), ranked=first.ranked)
    other = gpu.outcome_of(
        kind_of(gpu, "dekd"), variant, torch.device("cpu"), ranked=[each.flip(0) for each in first.ranked]
    )
    assert (again.loss, again.queries) == (first.loss, first.queries)
    assert other.loss != pytest.approx(first.loss, rel=1e-3)
    assert (sum(first.queries["teacher"]), sum(first.queries["assistant"])) == (8, 4)


def test_it_runs_without_ray_and_libraries_of_data() -> None:
    blocked = ("ray", "optuna", "datasets", "sklearn", "scipy", "pandas", "plotly", "argcomplete")
    code = f"import sys, runpy; sys.modules |= dict.fromkeys({blocked}); sys.argv = ['gpu.py', '--help']; "
    code += f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    root = str(SCRIPT.parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert (done.returncode, "--compile" in done.stdout) == (0, True), done.stderr


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
