"""Teachers of some classes, from their own rows to a student of all classes."""

import json

import numpy as np
import pytest
import tiny

from kdray.errors import ConfigError
from kdray.signals import Outputs
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Store

CLASSES = ("bad", "good", "film", "very")  # each is the word that its rows repeat


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subsets") / "words"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for split, number in (("train", 160), ("test", 40)):
        rows = []
        for row in range(number):
            words = [CLASSES[row % 4]] * 3 + list(draw.choice(["the", "a", "was", "it"], 3))
            rows.append({"text": " ".join(draw.permutation(words)), "label": CLASSES[row % 4]})
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def settings(folder, tiny_encoder, tmp_path_factory):
    base = {
        "store": str(tmp_path_factory.mktemp("store")),
        "corpus": {"name": "folder", "path": str(folder), "labels": list(CLASSES)},
        "teachers": [
            tiny.teacher(tiny_encoder, "first", epochs=4, classes=["good", "bad"]),
            tiny.teacher(tiny_encoder, "second", epochs=4, classes=["film", "very"]),
        ],
        "outputs": {},
        "student": {"encoder": str(tiny_encoder), "layers": 2},
        "train": tiny.training(6),
    }
    return lambda **more: tiny.run_config(tiny_encoder, folder, **(base | more))


def go(run):
    context = Context(Store(run.store), InProcess(), data_dir=None)
    prepared = prepare(run, context)
    return prepared, lambda: distill(run, prepared, context)


def test_a_teacher_learns_its_own_rows_and_answers_for_all(settings):
    run = settings(method={"name": "uhc", "alpha": 1.0})
    prepared, _ = go(run)
    store = Store(run.store)
    first, second = prepared.teachers
    assert (first.info.known, second.info.known) == ((1, 0), (2, 3))
    assert (first.info.classes, second.info.classes) == (2, 2)
    result = result_of(first.model.open(store))
    assert result["rows"]["train"] == 72  # half of 144
    assert result["metrics"]["test"]["accuracy"] > 0.9
    logits = Outputs(first.outputs.open(store).folder, "train").array("logits")
    assert logits.shape == (144, 2)


@pytest.mark.parametrize("method", ["uhc", "muki", "dfa", "cfl"])
def test_students_learn_all_classes_without_a_label(method, settings):
    _, student = go(settings(method={"name": method, "alpha": 1.0}))
    result = result_of(student())
    assert result["weights"]["hard"] == 0
    if method == "uhc":  # six tiny epochs suffice for what is left of the first two words
        assert result["metrics"]["test"]["accuracy"] > 0.5
    assert result["spec"]["labels"] == list(CLASSES)


def test_a_method_that_cannot_merge_classes_refuses(settings):
    with pytest.raises(ConfigError, match="ens_u needs teachers of all 4 classes, first scores only some"):
        go(settings(method={"name": "ens_u"}))


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ({"classes": ["good"]}, "two or more different classes"),
        ({"classes": ["good", "good"]}, "two or more different classes"),
        ({"classes": ["good", "bad"], "init_from": "mnli"}, "classes cannot be combined with init_from"),
        ({"classes": ["good", "bad"], "fine_tuned": True}, "classes cannot be combined with fine_tuned"),
    ],
)
def test_refuses_classes_without_a_meaning(teacher, said, settings):
    with pytest.raises(ConfigError, match=said):
        settings(teachers=[{"name": "first", **teacher}])


def test_refuses_a_class_that_the_corpus_lacks(settings):
    with pytest.raises(ConfigError, match=r"teacher 'first': folder-words has no class 'ugly', only"):
        go(settings(teachers=[{"name": "first", "classes": ["good", "ugly"]}], method={"name": "kd"}))


def test_a_student_does_not_start_from_a_teacher_of_some_classes(settings):
    with pytest.raises(ConfigError, match="teacher first scores only some classes"):
        settings(student={"layers": 2, "init_from": "teacher"})
