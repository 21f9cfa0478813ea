"""Whose classes a teacher counts in which order, and whether it is worth listening to."""

import numpy as np
import pyarrow as pa
import pytest
import tiny
from pydantic import ValidationError

from kdray.errors import ConfigError
from kdray.models import folder_info
from kdray.teachers import (
    TeacherInference,
    TeacherSettings,
    check_quality,
    label_names,
    map_classes,
    task_columns,
)

NLI = ("entailment", "neutral", "contradiction")
ROWS = pa.table({"id": ["a", "b", "c"], "text": ["good film", "a very bad film", "it was"]})


@pytest.mark.parametrize(
    ("teacher", "columns"),
    [
        (NLI, [0, 1, 2]),
        (("contradiction", "neutral", "entailment"), [2, 1, 0]),  # a real trap: public checkpoints count so
        (("CONTRADICTION", "Entailment", "neutral"), [1, 2, 0]),
        (("LABEL_0", "LABEL_1", "LABEL_2"), [0, 1, 2]),
    ],
)
def test_columns_follow_the_tasks_order(teacher, columns, caplog):
    assert task_columns(teacher, NLI, name="t") == columns
    guessed = "teacher 't' does not name its classes; they are taken to be entailment, neutral, contradiction, in this"
    assert (guessed in caplog.text) == (teacher[0] == "LABEL_0")


@pytest.mark.parametrize(
    "teacher",
    [
        ("entailment", "neutral"),
        ("entailment", "not_entailment"),
        ("entailment", "neutral", "other"),
        ("LABEL_0", "LABEL_1"),
        ("LABEL_0", "LABEL_1", "neutral"),
        (*NLI, "other"),
    ],
)
def test_a_teacher_that_lacks_a_class_or_has_others_is_refused(teacher):
    with pytest.raises(ConfigError, match=r"^teacher 't' has the classes \[.*\], the task has \['entailment', .*\]\.$"):
        task_columns(teacher, NLI, name="t")


def test_classes_that_differ_only_in_case_are_different():
    assert task_columns(("us", "US", "Us"), ("US", "Us", "us"), name="t") == [1, 2, 0]
    for teacher, task in ((("US", "us"), ("Us", "other")), (("US", "us", "x"), ("us", "x")), (("a", "b"), ("a", "A"))):
        with pytest.raises(ConfigError, match=r"teacher 't' has the classes \[.*\], the task has \[.*\]\.$"):
            task_columns(teacher, task, name="t")


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory):
    model = tiny.classifier(seed=0, classes=3, layers=2, dropout=0.5)
    return tiny.save_fine_tuned(tmp_path_factory.mktemp("nli"), model, ("contradiction", "neutral", "entailment"))


def inference(folder, labels=NLI, **changes):
    settings = {"name": "t", "labels": labels, "fields": ["text"], "kinds": ("logits",), "max_length": 16}
    return TeacherInference(folder, **(settings | {"precision": "fp32"} | changes))


def values(said, kind):
    column = said[kind].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def test_a_teacher_answers_in_the_tasks_order(fine_tuned):
    assert label_names(fine_tuned) == ["contradiction", "neutral", "entailment"]
    own = values(inference(fine_tuned, ("contradiction", "neutral", "entailment"))(ROWS), "logits")
    mapped = values(inference(fine_tuned)(ROWS), "logits")
    assert np.array_equal(mapped, own[:, [2, 1, 0]])
    assert not np.array_equal(mapped, own)
    with pytest.raises(ConfigError, match="teacher 't' has the classes"):
        inference(fine_tuned, ("entailment", "neutral", "other"))


def test_teacher_outputs_are_flat_and_typed(fine_tuned):
    said = inference(fine_tuned, kinds=("logits", "cls", "sent_emb"))(ROWS)
    assert said["id"].to_pylist() == ["a", "b", "c"]
    assert said.schema.field("logits").type == pa.list_(pa.float32(), 3)
    assert said.schema.field("cls").type == pa.list_(pa.float16(), 3 * tiny.WIDTH)
    assert said.schema.field("sent_emb").type == pa.list_(pa.float16(), tiny.WIDTH)
    assert folder_info(fine_tuned).shapes(("logits", "cls", "sent_emb")) == {
        "logits": (3,),
        "cls": (3, tiny.WIDTH),
        "sent_emb": (tiny.WIDTH,),
    }


def test_teacher_outputs_are_without_dropout(fine_tuned):
    asked = inference(fine_tuned)
    assert np.array_equal(values(asked(ROWS), "logits"), values(asked(ROWS), "logits"))


def test_an_embedder_needs_no_classes(tiny_encoder):
    said = inference(tiny_encoder, ("0", "1"), kinds=("sent_emb",), embeds_only=True)(ROWS)
    assert said.column_names == ["id", "sent_emb"]


MNLI_ROWS = pa.table({"id": ["a", "b", "c", "d"], "label": pa.array([0, 1, 2, None], pa.int64())})


def test_classes_are_merged_by_name():
    label_map = {"neutral": "not_entailment", "contradiction": "not_entailment"}
    into = ("entailment", "not_entailment")
    assert map_classes(MNLI_ROWS, NLI, label_map=label_map, into=into, name="mnli")["label"].to_pylist() == [
        0,
        1,
        1,
        None,
    ]
    back = map_classes(MNLI_ROWS, NLI, label_map=label_map, into=into[::-1], name="mnli")
    assert back["label"].to_pylist() == [1, 0, 0, None]
    assert back["id"].to_pylist() == ["a", "b", "c", "d"]


def test_classes_without_a_counterpart_are_refused():
    with pytest.raises(ConfigError, match=r"class 'neutral' of mnli is not .*; map it with init_from\.label_map\.$"):
        map_classes(MNLI_ROWS, NLI, label_map={}, into=("entailment", "not_entailment"), name="mnli")
    with pytest.raises(ConfigError, match=r"^init_from\.label_map names \['neutrl'\], but mnli has the classes"):
        map_classes(MNLI_ROWS, NLI, label_map={"neutrl": "entailment"}, into=NLI, name="mnli")


def test_a_teacher_no_better_than_the_majority_is_refused():
    labels = np.array([0, 1, 1, 1, -1])
    good = np.eye(2, dtype=np.float32)[[0, 1, 1, 1, 0]]
    assert check_quality("t", metric="accuracy", logits=good, labels=labels, split="validation") == {
        "accuracy": 1.0,
        "majority": 0.75,
    }
    for answer in ([1, 1, 1, 1, 0], [0, 1, 1, 0, 0], [1, 0, 0, 0, 1]):
        with pytest.raises(
            ConfigError,
            match=r"^teacher 't' scores accuracy 0\.\d{3} on 'validation', no better than .* \(0\.750\): is .*"
            r' outputs\.quality_check=false \(in Python outputs=\{"quality_check": False\}\) turns this check off\.$',
        ):
            check_quality(
                "t", metric="accuracy", logits=np.eye(2, dtype=np.float32)[answer], labels=labels, split="validation"
            )


def test_preflight_compares_by_the_metric_and_its_direction():
    labels = np.array([0, 1, 1, 1])
    sure, unsure = 4 * np.eye(2)[[0, 1, 1, 1]], np.zeros((4, 2))
    assert check_quality("t", metric="log_loss", logits=sure, labels=labels, split="validation")["log_loss"] < 0.1
    with pytest.raises(
        ConfigError, match=r"scores log_loss 0\.693 on 'validation', no better than .* class \(0\.562\)"
    ):
        check_quality("t", metric="log_loss", logits=unsure, labels=labels, split="validation")


def test_preflight_refuses_logits_that_are_not_finite():
    logits = np.array([[0.0, 1.0], [np.nan, 0.0]], dtype=np.float32)
    with pytest.raises(
        ConfigError, match=r"^teacher 't' gives logits that are not finite on the split 'validation'\.$"
    ):
        check_quality("t", metric="accuracy", logits=logits, labels=np.array([1, 0]), split="validation")


def test_an_intermediate_task_by_its_name():
    by_name = TeacherSettings.model_validate({"init_from": "mnli"}).init_from
    assert by_name is not None
    assert by_name.corpus.name == "mnli"
    assert by_name.label_map == {"neutral": "not_entailment", "contradiction": "not_entailment"}
    other = TeacherSettings.model_validate({"init_from": "qnli"}).init_from
    assert other is not None
    assert other.label_map == {}


@pytest.mark.parametrize("name", ["", "../x", "a b", "-a", "a/b"])
def test_names_of_teachers_can_be_folders(name):
    with pytest.raises(ValidationError, match="should match pattern"):
        TeacherSettings(name=name)
