"""How many workers share a training is part of what it makes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny

from kdray.config import WorkSettings, parse
from kdray.engines.ray.lazy import on_demand
from kdray.stages import Context, InProcess, distill, prepare
from kdray.store import Artifact, Store


@dataclass(frozen=True)
class Workers(InProcess):
    """Trains in this process, but under the name of several workers."""

    number: int = 1

    @property
    def training_workers(self) -> int:
        return self.number


@pytest.fixture
def settings(tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path) -> dict[str, Any]:
    fitting = {"epochs": 1, "batch_size": 16, "max_length": 32, "precision": "fp32"}
    return {
        "store": str(tmp_path / "store"),
        "corpus": tiny.opinions(tiny_corpus),
        "prune": {"policy": "none"},
        "teachers": [{"encoder": str(tiny_encoder), "train": fitting}],
        "outputs": {"quality_check": False},
        "student": {"encoder": str(tiny_encoder), "layers": 1},
        "train": fitting,
    }


def made(settings: dict[str, Any], engine: Any) -> tuple[Artifact, Artifact]:
    """The first teacher and the student."""
    run = parse(settings, source="test")
    context = Context(Store(run.store), engine, None)
    prepared = prepare(run, context)
    return prepared.teachers[0].model.open(context.store), distill(run, prepared, context)


def test_two_workers_train_another_artifact_than_one(settings: dict[str, Any]) -> None:
    one, again, two = (
        made(settings, InProcess()),
        made(settings, Workers()),
        made(settings, Workers(number=2)),
    )
    assert [each.digest for each in one] == [each.digest for each in again]
    assert all(each.digest != other.digest for each, other in zip(one, two, strict=True))
    assert [each.manifest["settings"].get("workers") for each in (*one, *two)] == [None, None, 2, 2]


def test_what_is_not_trained_depends_on_no_worker(settings: dict[str, Any], tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tiny.save_fine_tuned(tmp_path / "fine-tuned", tiny.classifier(seed=1), ["negative", "positive"])
    settings["teachers"] = [{"encoder": str(folder), "fine_tuned": True}]
    assert made(settings, Workers())[0].digest == made(settings, Workers(number=2))[0].digest


def test_engines_on_ray_have_the_workers_of_the_settings() -> None:
    with on_demand(WorkSettings(workers=3), None) as engine:
        assert engine.training_workers == 3
