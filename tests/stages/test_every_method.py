"""Every method from the corpus to a student that is an ordinary folder: found by itself in `METHODS`."""

import pytest
import tiny
from safetensors.torch import load_file

from kdray.config import parse
from kdray.methods import METHODS
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Store


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_encoder):
    corpus = tiny.save_opinions(tmp_path_factory.mktemp("methods") / "opinions", train=48, test=16)
    train = {"batch_size": 16, "learning_rate": 2e-3}
    return tiny.run_settings(
        tiny_encoder,
        corpus,
        store=str(tmp_path_factory.mktemp("store")),
        teachers=[tiny.teacher(tiny_encoder, name, train=tiny.training(3, **train)) for name in ("one", "two")],
        assistant={"train": tiny.training(1, **train)},
        student={"encoder": str(tiny_encoder), "layers": 2},
        train=tiny.training(2, **train),
    )


@pytest.mark.parametrize("name", [kind().name for kind in METHODS])
def test_the_student_has_no_weights_of_the_method(name, base):
    run = parse(base | {"method": {"name": name}}, source="test")
    reported = []
    context = Context(Store(run.store), InProcess(report=reported.append), data_dir=None)
    prepared = prepare(run, context)
    reported.clear()
    student = distill(run, prepared, context)
    result = result_of(student)
    mine = [epoch for epoch in reported if epoch["phase"] in {phase.name for phase in run.method.phases(2)}]
    assert sum(epoch["scored"] for epoch in mine) >= 2
    assert 0 <= result["metrics"]["test"]["accuracy"] <= 1
    assert set(load_file(student.file("model") / "model.safetensors")) == tiny_names(student)


def tiny_names(student):
    """What a classifier of two layers has, and nothing else."""
    model = tiny.classifier(seed=0, layers=2)
    assert result_of(student)["cost"]["layers"] == 2
    return set(model.state_dict()) - {"bert.embeddings.position_ids"}
