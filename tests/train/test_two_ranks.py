"""Two gloo processes with uneven rows are one process."""

from pathlib import Path

import pytest
import tiny_training
import torch
import torch.multiprocessing as mp
from tiny_training import CASES, STOPS, Trained

from kdray.methods import METHODS, parse_method

ROUNDING = 1.2e-7  # of float32, relative to 1


def temperature(name: str) -> float:
    return getattr(parse_method(CASES[name].method), "temperature", 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made of all cases."""
    folder = tmp_path_factory.mktemp("two-ranks")
    tiny_training.write_all_outputs(folder)
    mp.spawn(tiny_training.run_rank, args=(folder, CASES), nprocs=2)
    return folder


def made(folder: Path, name: str, rank: int) -> Trained:
    return torch.load(folder / f"{name}.{rank}.pt", weights_only=False)


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("steps")])
def test_uneven_rows_give_the_losses_and_weights_of_one_process(folder, name):
    alone, first, second = tiny_training.train(CASES[name], folder), made(folder, name, 0), made(folder, name, 1)
    for mine, theirs in zip(alone.result.history, first.result.history, strict=True):
        # A KL divergence is a small difference of large log-probabilities: its own last digits are float32 rounding,
        # which the square of the temperature scales up.
        assert theirs["terms"] == pytest.approx(
            mine["terms"], rel=3e-6, abs=max(5e-7, ROUNDING * temperature(name) ** 2)
        )
        assert theirs["loss"] == pytest.approx(mine["loss"], rel=1e-6)
        assert theirs["score"] == pytest.approx(mine["score"], rel=1e-6)
        assert theirs["queries"] == mine["queries"]
    assert first.result.queries == alone.result.queries
    for key, tensor in (alone.weights | alone.adapters).items():
        if "key.bias" in key:  # softmax takes no notice of it: its gradient is rounding, which AdamW scales up
            continue
        torch.testing.assert_close((first.weights | first.adapters)[key], tensor, rtol=1e-5, atol=1e-5)
    assert first.result.history == second.result.history
    assert all(torch.equal(second.weights[key], tensor) for key, tensor in first.weights.items())


def test_dropout_makes_two_processes_train_other_weights_than_one(folder):
    """Why the number of workers is in the digest of what they train."""
    alone, first = tiny_training.train(CASES["steps"], folder), made(folder, "steps", 0)
    assert any(not torch.equal(first.weights[key], tensor) for key, tensor in alone.weights.items())
    assert first.losses != pytest.approx(alone.losses, rel=1e-4)


def test_every_method_is_among_the_cases():
    assert {method().name for method in METHODS} <= {case.method["name"] for case in CASES.values()}


@pytest.mark.parametrize("k", STOPS)
def test_two_processes_resume_after_any_step_with_the_same_result(folder, k):
    whole, resumed = made(folder, "steps", 0), made(folder, f"steps@{k}", 0)
    assert resumed.result.history == whole.result.history
    assert resumed.result.queries == whole.result.queries
    assert all(torch.equal(resumed.weights[key], tensor) for key, tensor in whole.weights.items())
    assert all(torch.equal(resumed.adapters[key], tensor) for key, tensor in whole.adapters.items())
    assert made(folder, f"steps@{k}", 1).result.history == whole.result.history
