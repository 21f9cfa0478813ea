"""Every method from the corpus to a student that is an ordinary folder: found by itself in `METHODS`."""

import pytest
import tiny
from safetensors.torch import load_file

from kdray.config import parse
from kdray.methods import METHODS
from kdray.stages import Context, InProcess, distil, prepare
from kdray.stages.fitting import result_of
from kdray.store import Store

FITTING = {"batch_size": 16, "learning_rate": 2e-3, "max_length": 32, "precision": "fp32"}


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_encoder):
    corpus = tiny.save_opinions(tmp_path_factory.mktemp("methods") / "opinions", train=48, test=16)
    teacher = {"encoder": str(tiny_encoder), "train": FITTING | {"epochs": 3}}
    return {
        "store": str(tmp_path_factory.mktemp("store")),
        "corpus": {"name": "folder", "path": str(corpus), "labels": ["negative", "positive"]},
        "prune": {"policy": "none"},
        "teachers": [{"name": name, **teacher} for name in ("one", "two")],
        "outputs": {"preflight": False},
        "assistant": {"train": FITTING | {"epochs": 1}},
        "student": {"encoder": str(tiny_encoder), "layers": 2},
        "train": FITTING | {"epochs": 2},
    }


@pytest.mark.parametrize("name", [kind().name for kind in METHODS])
def test_distils_a_student_that_holds_nothing_of_the_method(name, base):
    run = parse(base | {"method": {"name": name}}, source="test")
    reported = []
    context = Context(Store(run.store), InProcess(report=reported.append), data_dir=None)
    prepared = prepare(run, context)
    reported.clear()
    student = distil(run, prepared, context)
    result = result_of(student)
    mine = [epoch for epoch in reported if epoch["phase"] in {phase.name for phase in run.method.phases(2)}]
    assert sum(epoch["scored"] for epoch in mine) >= 2
    assert 0 <= result["metrics"]["report"]["accuracy"] <= 1
    assert set(load_file(student.file("model") / "model.safetensors")) == tiny_names(student)


def tiny_names(student):
    """What a classifier of two layers has, and nothing else."""
    model = tiny.classifier(seed=0, layers=2)
    assert result_of(student)["cost"]["layers"] == 2
    return set(model.state_dict()) - {"bert.embeddings.position_ids"}
