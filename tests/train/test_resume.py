"""Whatever the method, a training that is stopped in the middle of an epoch ends as if it had not been."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_training
import torch
from tiny_training import CASES, EveryCheckpoint


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    tiny_training.write_all_outputs(folder)
    return folder


@pytest.mark.parametrize(
    "name", {case.method["name"]: name for name, case in CASES.items() if "@" not in name}.values()
)
def test_a_stopped_training_ends_with_the_same_bits(name: str, outputs: Path, tmp_path: Path) -> None:
    case = replace(CASES[name], train={**CASES[name].train, "checkpoint_steps": 1}, dropout=0.2)
    kept = EveryCheckpoint(tmp_path)
    whole = tiny_training.train(case, outputs, checkpoints=kept)
    assert kept.saved >= 4
    found = tiny_training.train(case, outputs, checkpoints=EveryCheckpoint(tmp_path, kept.saved // 2))
    assert found.result.history == whole.result.history
    assert found.result.queries == whole.result.queries
    for key, tensor in (whole.weights | whole.adapters).items():
        assert torch.equal((found.weights | found.adapters)[key], tensor), key
