"""Tasks other than a single label, from files to an export: regression, multi label, and one from outside."""

import json
import sys
from pathlib import Path

import numpy as np
import pages
import pytest
import transformers

from kdray.config import parse
from kdray.errors import ConfigError
from kdray.stages import Context, InProcess, distill, prepare, read
from kdray.stages.train_stage import result_of
from kdray.store import Store

FITTING = {"batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
METHODS = ({"name": "finetune"}, {"name": "kd"}, {"name": "ens_u"})

COUNTS = pages.code_with(pages.ROOT / "docs/extending.md", "class Counts")


def film(number: int) -> tuple[str, int]:
    """A text, and how often it says `good`."""
    times = number % 4
    filler = [("the", "film"), ("it", "was"), ("a", "very"), ("and", "the")][number // 4 % 4]
    return " ".join(["good"] * times + ["bad"] * (3 - times) + list(filler) * (1 + number // 16 % 3)), times


def save(folder: Path, label) -> Path:
    folder.mkdir()
    for split, numbers in (("train", range(96)), ("test", range(100, 124))):
        rows = [{"text": film(number)[0], "label": label(film(number)[1])} for number in numbers]
        if split == "train":
            rows[5]["label"] = None  # an unlabeled row
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(corpus: Path, encoder: Path, method, **own):
    teacher = {"encoder": str(encoder), "train": FITTING | {"epochs": 6}}
    teachers = [teacher | {"name": "one"}, teacher | {"name": "two", "train": teacher["train"] | {"seed": 1}}]
    return parse(
        {
            "corpus": {"name": "folder", "path": str(corpus), "validation_fraction": 0.25, **own},
            "prune": {"policy": "none"},
            "teachers": teachers,
            "student": {"encoder": str(encoder), "layers": 2},
            "method": method,
            "train": FITTING | {"epochs": 5},
        },
        source="test",
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(str(tmp_path_factory.mktemp("store")))


def go(run, store):
    context = Context(store, InProcess(), data_dir=None)
    student = distill(run, prepare(run, context), context)
    return student, result_of(student)


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    return save(tmp_path_factory.mktemp("corpora") / "values", lambda times: -1.0 + 0.5 * times)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_regression_from_files_to_an_export(values, tiny_encoder, store, method):
    student, result = go(settings(values, tiny_encoder, method, task="regression"), store)
    scores = result["metrics"]["test"]
    assert list(scores) == ["pearson", "spearman", "mse"]
    assert scores["pearson"] > 0.8
    assert result["metric"] == "pearson"
    assert result["majority"]["test"] == 0.0
    assert result["rows"]["unlabeled"] == 1
    config = json.loads((student.file("model") / "config.json").read_text())
    assert (config["problem_type"], config["id2label"]) == ("regression", {"0": "value"})
    predict = transformers.pipeline("text-classification", str(student.file("model")))
    said = [predict(film(number)[0])[0]["score"] for number in (100, 103)]
    assert said[0] < said[1]
    assert said[0] < 0  # a value, not a probability


def test_a_teachers_value_is_learned_by_squared_error(values, tiny_encoder, store):
    with pytest.raises(
        ConfigError, match=r"^method kd: temperature would have no effect for the task regression, where"
    ):
        go(settings(values, tiny_encoder, {"name": "kd", "temperature": 2.0}, task="regression"), store)


@pytest.mark.parametrize("joined", [False, True], ids=["lists", "joined"])
def test_multi_label_from_files_to_an_export(tmp_path, tiny_encoder, store, joined):
    names = ["some", "many"]

    def label(times):
        own = [name for name, least in (("some", 1), ("many", 3)) if times >= least]
        return "; ".join(own) if joined else own

    corpus = save(tmp_path / "topics", label)
    for method in METHODS[1:]:
        run = settings(
            corpus, tiny_encoder, method, task="multi_label", labels=names, metrics=["micro_f1", "auroc", "log_loss"]
        )
        student, result = go(run, store)
        scores = result["metrics"]["test"]
        assert set(scores) == {"micro_f1", "macro_f1", "auroc", "log_loss"}
        assert scores["micro_f1"] > result["majority"]["test"]
        assert scores["auroc"] > 0.9
        by_label = result["classes"]["test"]
        assert list(by_label) == names
        assert np.mean([each["f1"] for each in by_label.values()]) == pytest.approx(scores["macro_f1"])
        assert result["rows"]["unlabeled"] == 1
    config = json.loads((student.file("model") / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    predict = transformers.pipeline("text-classification", str(student.file("model")), top_k=None)
    both = {each["label"]: each["score"] for each in predict(film(103)[0])[0]}
    assert both["some"] > 0.5
    assert sum(both.values()) != pytest.approx(1.0)  # a probability each, no softmax


@pytest.mark.parametrize("name", ["dekd", "cfl", "uhc", "rlkd", "ens_w", "pkd"])
def test_methods_that_need_one_distribution_refuse_before_anything_is_trained(values, tiny_encoder, tmp_path, name):
    empty = Store(str(tmp_path / "store"))
    sentence = (
        f"^method {name} learns from one distribution over classes, but the task regression has none; allowed are"
    )
    with pytest.raises(ConfigError, match=sentence):
        go(settings(values, tiny_encoder, {"name": name}, task="regression"), empty)
    assert list(empty.artifacts("teach")) == []


def test_labels_that_are_not_allowed_name_file_and_row(tmp_path, tiny_encoder, store):
    corpus = save(tmp_path / "words", lambda times: f"{times} stars")
    with pytest.raises(
        ConfigError, match=r"train.jsonl, line 1, column \"label\" is '0 stars'; allowed are finite numbers"
    ):
        go(settings(corpus, tiny_encoder, METHODS[0], task="regression"), store)
    with pytest.raises(ConfigError, match=r"column \"label\" is '0 stars'; allowed are lists of a, b"):
        go(settings(corpus, tiny_encoder, METHODS[0], task="multi_label", labels=["a", "b"]), store)
    with pytest.raises(ConfigError, match=r"labels = ..a', 'b'. has no effect: task regression has none; leave it out"):
        settings(corpus, tiny_encoder, METHODS[0], task="regression", labels=["a", "b"])
    with pytest.raises(
        ConfigError, match="metric 'accuracy' is for targets of the kind class or labels, but regression has"
    ):
        settings(corpus, tiny_encoder, METHODS[0], task="regression", metrics=["accuracy"])


def test_a_task_from_outside_is_one_file(tmp_path, tiny_encoder, store, monkeypatch):
    (tmp_path / "counting.py").write_text(COUNTS)
    monkeypatch.syspath_prepend(tmp_path)
    corpus = save(tmp_path / "counts", lambda times: times)
    _, result = go(settings(corpus, tiny_encoder, {"name": "kd"}, task="counting:COUNTS"), store)
    assert result["metrics"]["test"]["mse"] < 0.5 * result["majority"]["test"]
    assert (result["metric"], result["higher_is_better"]) == ("mse", False)
    scores = [epoch["score"] for epoch in result["history"]]
    assert result["best_epoch"] == 1 + int(np.argmin(scores))
    context = Context(store, InProcess(), data_dir=None)
    corpora = {artifact.digest for artifact in store.artifacts("corpus")}
    sys.modules.pop("counting")
    (tmp_path / "counting.py").write_text(COUNTS + "# another file, another artifact\n")
    read(settings(corpus, tiny_encoder, {"name": "kd"}, task="counting:COUNTS").corpus, context)
    assert len({artifact.digest for artifact in store.artifacts("corpus")} - corpora) == 1
    sys.modules.pop("counting")
