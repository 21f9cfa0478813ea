"""Files of predictions from elsewhere: what each form means as logits, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from kdray.config import parse
from kdray.errors import ConfigError
from kdray.teachers import FLOOR, SMOOTHING, GivenLogits, TeacherSettings, read_predictions

LABELS = ("bad", "good")
TABLES = {
    "train": pa.table({"id": ["train:a", "train:b", "train:c"], "text": ["one", "two", "one"]}),
    "test": pa.table({"id": ["test:a"], "text": ["four"]}),
}


def save(folder: Path, rows: list[dict[str, Any]], suffix: str = ".jsonl") -> Path:
    path = folder / f"labels{suffix}"
    if suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def given(path: Path, **options: Any) -> dict[str, GivenLogits]:
    return read_predictions(path, TABLES, fields=["text"], labels=LABELS, **options)


def of_row(path: Path, row: int = 0) -> np.ndarray:
    return given(path)["train"].logits[row]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_rows_are_matched_by_id_in_any_order(tmp_path, suffix):
    rows = [{"id": "test:a", "logit:bad": 1.5, "logit:good": -2}, {"id": "c", "logit:bad": 0.25, "logit:good": 4}]
    found = given(save(tmp_path, rows, suffix))
    assert found["train"].predicted.tolist() == [False, False, True]
    assert found["train"].logits.tolist() == [[0, 0], [0, 0], [0.25, 4]]
    assert found["test"].logits.tolist() == [[1.5, -2]]
    assert found["train"].logits.dtype == np.float32


def test_rows_are_matched_by_text_and_rows_of_one_text_share_a_prediction(tmp_path):
    found = given(save(tmp_path, [{"text": "one", "logits": [1, 2]}, {"text": "one", "logits": [1, 2]}]))
    assert found["train"].predicted.tolist() == [True, False, True]
    assert not found["test"].predicted.any()


def test_integer_ids_name_rows_of_a_train_file_without_ids(tmp_path):
    tables = {"train": pa.table({"id": ["train:0", "train:1"], "text": ["one", "two"]})}
    path = save(tmp_path, [{"id": 1, "label": "good"}])
    assert read_predictions(path, tables, fields=["text"], labels=LABELS)["train"].predicted.tolist() == [False, True]


@pytest.mark.parametrize(("own", "row"), [("0", 0), ("train:0", 0), ("train-0", 0), ("2", 1), ("train:train-2", 1)])
def test_rows_of_a_dataset_in_python_are_named_by_number_or_id(tmp_path, own, row):
    tables = {
        "train": pa.table({"id": ["train:train-0", "train:train-2"], "text": ["one", "two"]}),
        "test": pa.table({"id": ["test:train-1"], "text": ["three"]}),
    }
    path = save(tmp_path, [{"id": own, "label": "good"}, {"id": "1", "label": "bad"}])
    found = read_predictions(path, tables, fields=["text"], labels=LABELS)
    assert found["train"].predicted.tolist() == [row == 0, row == 1]
    assert found["test"].predicted.tolist() == [True]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_probabilities_become_their_logarithms_and_zeros_are_floored(tmp_path, suffix):
    path = save(tmp_path, [{"id": "a", "p:good": 0.75, "p:bad": 0.25}, {"id": "b", "p:good": 1, "p:bad": 0}], suffix)
    np.testing.assert_allclose(of_row(path), np.log([0.25, 0.75]), rtol=1e-6)
    np.testing.assert_allclose(of_row(path, 1), [np.log(FLOOR), 0], rtol=1e-6)


def test_a_zero_is_never_above_a_probability_of_its_row(tmp_path):
    tables = {"train": pa.table({"id": ["train:a"], "text": ["one"]})}
    path = save(tmp_path, [{"id": "a", "probabilities": [1.0, 1e-9, 0.0]}])
    logits = read_predictions(path, tables, fields=["text"], labels=["x", "y", "z"])["train"].logits[0]
    assert logits[2] == logits[1] == np.float32(np.log(1e-9))


def test_log_probabilities_stay_as_they_are(tmp_path):
    values = np.log([0.2, 0.8])
    assert of_row(save(tmp_path, [{"id": "a", "logp:bad": values[0], "logp:good": values[1]}])).tolist() == [
        np.float32(values[0]),
        np.float32(values[1]),
    ]
    of_zero = of_row(save(tmp_path, [{"id": "a", "logp:bad": "-inf", "logp:good": 0}], ".csv"))
    np.testing.assert_allclose(of_zero, [np.log(FLOOR), 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("row", "suffix", "share"),
    [
        ({"label": "good"}, ".jsonl", 1),
        ({"prediction": "good"}, ".csv", 1),
        ({"votes": ["good", "bad", "good", "good"]}, ".jsonl", 0.75),
        ({"votes": "good; bad;good;good"}, ".csv", 0.75),
        ({"votes:good": 3, "votes:bad": 1}, ".csv", 0.75),
        ({"votes:good": 3, "votes:bad": 1, "label": "bad"}, ".parquet", 0.75),  # label may hold the gold label
    ],
)
def test_labels_and_votes_become_a_smoothed_distribution(tmp_path, row, suffix, share):
    probability = (1 - SMOOTHING) * share + SMOOTHING / 2
    found = of_row(save(tmp_path, [{"id": "a", **row}], suffix))
    np.testing.assert_allclose(np.exp(found), [1 - probability, probability], rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "suffix"),
    [
        ([{"id": "a", "label": "good"}, {"id": "b", "label": None}], ".jsonl"),
        ([{"id": "a", "label": "good"}, {"id": "b", "label": ""}], ".csv"),
        ([{"id": "a", "votes": ["good"]}, {"id": "b", "votes": []}], ".jsonl"),
        ([{"id": "a", "p:bad": 0.5, "p:good": 0.5}, {"id": "b", "p:bad": None, "p:good": None}], ".csv"),
        ([{"id": "a", "probabilities": [0.5, 0.5]}, {"id": "b", "probabilities": None}], ".jsonl"),
    ],
)
def test_an_empty_row_has_no_prediction(tmp_path, rows, suffix):
    assert given(save(tmp_path, rows, suffix))["train"].predicted.tolist() == [True, False, False]


A, B = {"id": "a", "label": "good"}, {"id": "b", "p:bad": 0.5, "p:good": 0.5}
REFUSED = [
    (
        [A, {"id": "z", "label": "bad"}],
        "line 2.* column \"id\" is 'z', which no row .* has .an id of train is 'a'.; remove the row",
    ),
    ([A, A], "column \"id\" is 'a', as in line 1; keep one of the two rows"),
    ([{"text": "one", "label": "good"}, {"text": "one", "label": "bad"}], "as in line 1 with another prediction"),
    ([{"name": "one", "label": "good"}], "has no column id and not every text .text.; found: name, label"),
    ([{"id": "a", "label": "great"}], "line 1.* column \"label\" is 'great'; allowed are bad, good"),
    ([{"id": "a", "votes": ["good", "great"]}], "column \"votes\" is 'great'; allowed are bad, good"),
    ([{"id": "a", "label": 0.5}], 'column "label" is of type double; it must hold labels'),
    ([{"id": "a", "votes": [1, 2]}], "column \"votes\" is '1'; allowed are bad, good"),
    ([{"id": "a", "votes:good": 0, "votes:bad": 0}], "line 1.* has no vote for any label"),
    ([{"id": "a", "votes:good": 2, "votes:bad": -1}], 'column "votes:bad" holds -1; counts must be numbers of 0'),
    ([{"id": "a", "score": 1}], "no predictions: it needs a column label, votes or probabilities.*found: id, score"),
    ([{"id": "a", "label": "good", "prediction": "bad"}], "the columns label and prediction; keep one"),
    ([{**B, "probabilities": [0.5, 0.5]}], "in the forms p: and probabilities; keep one of them"),
    ([{"id": "a", "p:bad": 0.5}], "columns p:bad, but the corpus has the labels bad, good.*'good' has no counterpart"),
    ([{**B, "p:great": 0}], "'great' has no counterpart"),
    ([B, {"id": "a", "p:bad": 0.5, "p:good": 0.3}], "line 2.*: the probabilities sum to 0.8, not to 1"),
    ([B, {"id": "a", "p:bad": -0.5, "p:good": 1.5}], 'line 2.* "p:bad" holds -0.5; probabilities must be numbers of 0'),
    ([B, {"id": "a", "p:bad": 0.5}], 'line 2.* "p:good" is empty, but others of the row are not'),
    ([B, {"id": "a", "p:bad": "much", "p:good": "little"}], "line 3.* \"p:bad\" is 'much'; a number is needed"),
    ([{"id": "a", "p:bad": "nan", "p:good": 1}], 'line 2.* "p:bad" holds nan; probabilities must be numbers of 0'),
    ([{"id": "a", "logp:bad": 0.5, "logp:good": 0.5}], "the probabilities sum to 3.297, not to 1"),
    ([{"id": "a", "logp:bad": "inf", "logp:good": 0}], '"logp:bad" holds inf; log-probabilities must be numbers'),
    ([{"id": "a", "logit:bad": "inf", "logit:good": 0}], '"logit:bad" holds inf; logits must be finite'),
    ([{"id": "a", "logits": [1, 2, 3]}], '"logits" has 3 numbers; one for each of 2 labels is needed'),
    ([{"id": "a", "logits": "1, 2"}], "\"logits\" is '1, 2'; a list of 2 numbers is needed"),
    ([{"id": "test:a", "label": "good"}], "has no prediction for a row of train; a teacher needs at least one"),
]


@pytest.mark.parametrize(("rows", "sentence"), REFUSED)
def test_what_is_wrong_is_named_in_one_sentence(tmp_path, rows, sentence):
    texts = any(value in ("nan", "inf", "much") for row in rows for value in row.values())
    path = save(tmp_path, rows, ".csv" if texts else ".jsonl")
    with pytest.raises(ConfigError, match=f"^labels.*{sentence}.*\\.$"):
        given(path)


def test_a_part_of_a_corpus_lacks_rows_of_the_file(tmp_path):
    path = save(tmp_path, [{"id": "a", "label": "good"}, {"id": "z", "label": "bad"}])
    assert given(path, is_part=True)["train"].predicted.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("setting", "value"), [("layers", 2), ("fine_tuned", True), ("encoder", "bert"), ("train", {"epochs": 9})]
)
def test_a_file_of_predictions_takes_no_settings_of_a_model(setting, value):
    with pytest.raises(ValidationError, match=f"predictions cannot be combined with {setting}"):
        TeacherSettings.model_validate({"predictions": "labels.csv", setting: value})


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ("method: {name: pkd}", "method pkd needs cls of every teacher"),
        ("method: {name: tinybert}", "method tinybert needs attn, hidden of every teacher"),
        ("method: {name: takd}", "method takd makes assistants from its teacher's layers"),
        ("student: {init_from: teacher}", "student.init_from = teacher takes its layers"),
        ("prune: {policy: lower_tail}", "prune.embedders = teachers needs its embeddings"),
        ("outputs: {access: online}", "outputs.access = online runs it in every step"),
        (
            "{outputs: {teacher_view: pruned}, prune: {policy: lower_tail, embedders: minilm}}",
            "outputs.teacher_view = pruned runs it on other texts",
        ),
    ],
)
def test_what_needs_a_model_refuses_predictions_before_anything_starts(sections, reason):
    settings = {"prune": {"policy": "none"}, **yaml.safe_load(sections)}
    with pytest.raises(ConfigError, match=f"teacher llm is a file of predictions without a model, but {reason}"):
        parse({"teachers": [{"name": "llm", "predictions": "labels.csv"}], **settings}, source="run.yaml")
