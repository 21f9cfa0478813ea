"""Two gloo processes with uneven rows are one process."""

from pathlib import Path

import pytest
import tiny_training
import torch
import torch.multiprocessing as mp
from tiny_training import Case, Trained

KD = {"name": "kd", "temperature": 2.0}
DEKD = {"name": "dekd", "temperature": 2.0}
# 13 rows: batches of 5, 5, 3, and of 6, 6, 1, where the second process has no row of the last batch.
CASES = {
    "kd-5": Case(KD, {"batch_size": 5}),
    "kd-6": Case(KD, {"batch_size": 6}),
    "kd-online": Case(KD, {"batch_size": 6}, online=True),
    "kd-unlabelled": Case(KD, {"batch_size": 5}, unlabelled=(0, 2, 3, 7, 9, 12)),
    "kd-accumulated": Case(KD, {"batch_size": 5, "accumulate": 2}, unlabelled=(0, 2, 3)),
    "ensemble": Case({"name": "ens_u", "temperature": 2.0}, {"batch_size": 5}),
    "finetune": Case({"name": "finetune"}, {"batch_size": 6}),
    "dekd-5": Case(DEKD, {"batch_size": 5}),
    "dekd-6": Case(DEKD, {"batch_size": 6}),
    "dekd-random": Case(DEKD | {"strategy": "random"}, {"batch_size": 5}),
    "dekd-selected": Case(DEKD | {"ce_on": "selected", "granularity": "instance", "r": 0.3}, {"batch_size": 6}),
    "pkd": Case({"name": "pkd", "temperature": 2.0, "beta": 1.0}, {"batch_size": 6}),
    "mtbert": Case({"name": "mtbert", "tokens": "cls"}, {"batch_size": 5}, unlabelled=(0, 2, 3)),
    "tinybert-tokens": Case({"name": "tinybert", "intermediate_epochs": 1}, {"batch_size": 6}, online=True),
    "minilmv2-tokens": Case({"name": "minilmv2", "relation_epochs": 1}, {"batch_size": 5}, online=True),
    "minilmv2-middle": Case(
        {"name": "minilmv2", "relation_epochs": 1, "teacher_layer": 3}, {"batch_size": 5}, online=True
    ),
    "tmkd-heads": Case({"name": "tmkd", "heads": "multi"}, {"batch_size": 6}, unlabelled=(0, 2, 3)),
    "joint": Case(
        {"name": "joint", "models": 3}, {"batch_size": 5, "accumulate": 2}, unlabelled=(0, 2, 3, 7), members=3
    ),
    "dfa-tokens": Case({"name": "dfa", "align_number": -1}, {"batch_size": 5}, online=True),
    "cfl-tokens": Case({"name": "cfl"}, {"batch_size": 6}, online=True),
    "ksm": Case({"name": "ksm", "interval": 1}, {"batch_size": 5, "accumulate": 2}, unlabelled=(0, 2, 3)),
    "rlkd": Case({"name": "rlkd", "temperature": 2.0, "policy_rate": 0.05}, {"batch_size": 5}, unlabelled=(0, 2, 3)),
    "ckdsp": Case({"name": "ckdsp", "combine_teachers": "rlkd", "eta": 0.2}, {"batch_size": 6}),
    "ens_rand": Case({"name": "ens_rand"}, {"batch_size": 5, "accumulate": 2}),
    "steps": Case(DEKD, {"batch_size": 6, "checkpoint_steps": 1}, dropout=0.2),
}
# Of three steps and an epoch's end, twice: after one, after the last one of an epoch, and at an epoch's end.
STOPS = (1, 3, 4, 7)
CASES |= {
    f"steps@{k}": Case(DEKD, {"batch_size": 6, "checkpoint_steps": 1}, dropout=0.2, goes_on_from=k) for k in STOPS
}


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
        # A KL divergence is a small difference of large log-probabilities: its own last digits are float32 rounding.
        assert theirs["terms"] == pytest.approx(mine["terms"], rel=1e-6, abs=5e-7)
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


@pytest.mark.parametrize("k", STOPS)
def test_two_processes_go_on_after_any_step_as_if_they_had_not_stopped(folder, k):
    whole, resumed = made(folder, "steps", 0), made(folder, f"steps@{k}", 0)
    assert resumed.result.history == whole.result.history
    assert resumed.result.queries == whole.result.queries
    assert all(torch.equal(resumed.weights[key], tensor) for key, tensor in whole.weights.items())
    assert all(torch.equal(resumed.adapters[key], tensor) for key, tensor in whole.adapters.items())
    assert made(folder, f"steps@{k}", 1).result.history == whole.result.history
