"""Classic students of a run: fitted, kept without pickle, read again, exported, predicted with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import kdray as kd
from kdray.config import parse
from kdray.errors import ConfigError
from kdray.experiments.sweep import _vanilla
from kdray.export.bundle import open_bundle
from kdray.models import LinearSVM, NaiveBayes
from kdray.stages import Context, InProcess, Prepared, distill, no_kd_baseline, prepare, read
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store

NAMES = ("naive_bayes", "logistic", "linear_svm")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_corpus: Path) -> dict[str, Any]:
    store = str(tmp_path_factory.mktemp("classic"))
    more = {"teachers": [tiny.teacher(tiny_encoder, epochs=3)], "method": {"name": "soft_classic"}}
    return tiny.run_settings(tiny_encoder, tiny_corpus, store=store, student={}, **more)


def student(plain: dict[str, Any], prepared: tuple[Prepared, Context], architecture: Any, **sections: Any) -> Artifact:
    run = parse({**plain, "student": {"architecture": architecture}, **sections}, source="test")
    return distill(run, prepared[0], prepared[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_classic_student_is_fitted_and_predicts_the_same_after_saving_and_export(
    plain, prepared, name, tmp_path
) -> None:
    made = student(plain, prepared, {"name": name, "ngrams": [1, 2]})
    result = result_of(made)
    assert result["metrics"]["test"]["accuracy"] > 0.9  # the label can be read off one word
    (epoch,) = result["history"]
    assert list(epoch["terms"]) == ["hard", "kd"]
    assert result["queries"] == {"teacher": result["rows"]["train"]}
    folder = made.file("model")
    assert {each.name for each in folder.iterdir()} == {
        *("README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }
    texts = ["a very good film", "bad", "", "words it has never read"]
    loaded = kd.Student.load(folder)
    before = loaded.predict_proba(texts)
    np.testing.assert_allclose(before, kd.Student.load(loaded.save(tmp_path / "saved")).predict_proba(texts), atol=1e-6)
    if name != "logistic":  # the graph is the same for all
        return
    bundle = open_bundle(loaded.export(tmp_path / "bundle", format="onnx"), threads=1)
    found = bundle.predict(texts)
    np.testing.assert_allclose([[*each["probabilities"].values()] for each in found], before, atol=1e-6)


def test_only_what_changes_a_fit_is_in_the_digest(plain, prepared) -> None:
    first = student(plain, prepared, "naive_bayes")
    assert student(plain, prepared, "naive_bayes", train=tiny.training(5, learning_rate=0.1)).digest == first.digest
    assert student(plain, prepared, "naive_bayes", train=tiny.training(max_length=16)).digest != first.digest
    assert student(plain, prepared, {"name": "naive_bayes", "smoothing": 2}).digest != first.digest
    assert student(plain, prepared, "naive_bayes", method={"name": "soft_classic", "blend": 1}).digest != first.digest


def test_the_baseline_is_fitted_to_hard_labels_alone(plain, prepared) -> None:
    run = parse({**plain, "student": {"architecture": "naive_bayes"}}, source="test")
    base = no_kd_baseline(run)
    assert parse(base.model_dump(mode="json"), source="again") == base
    found = distill(base, prepared[0], prepared[1])
    assert found.digest == student(plain, prepared, "naive_bayes", method={"name": "finetune"}).digest
    assert result_of(found)["queries"] == {}
    assert result_of(found)["history"][0]["terms"].keys() == {"hard"}


def test_a_student_of_the_encoders_tokens_has_its_tokenizer(plain, prepared, tiny_encoder) -> None:
    made = student(plain, prepared, {"name": "logistic", "units": "tokens"}, train=tiny.training())
    words = json.loads((made.file("model") / "tokenizer.json").read_text())["model"]["vocab"]
    assert set(words) == set(tiny.WORDS)


def test_python_gives_an_object_and_gets_a_student(tiny_encoder, tiny_corpus, tmp_path) -> None:
    data = kd.Dataset.from_files(
        tiny_corpus / "train.jsonl", test=tiny_corpus / "test.jsonl", text="text", label="label"
    )
    file = tmp_path / "llm.csv"
    rows = [tiny.opinion(number) for number in range(48)]
    file.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
    teacher = kd.Teacher.from_predictions(file)
    made = kd.distill(
        teacher,
        data,
        student=LinearSVM(min_rows=1),
        method=kd.methods.SoftClassic(),
        store=str(tmp_path / "s"),
        outputs={"quality_check": False},
    )
    assert made.predict(["a very good film", "it was bad"]) == ["positive", "negative"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"method": {"name": "kd"}}, "kd trains by steps, but naive_bayes is fitted at once"),
        ({"student": {"architecture": "naive_bayes", "init_from": "teacher"}}, "init_from has no effect"),
        ({"student": {"architecture": {"name": "logistic", "ngrams": [3, 2]}}}, r"ngrams = \[3, 2\]"),
        ({"student": {"architecture": "naive_bayes", "layers": 2}}, "layers has no effect on a naive_bayes"),
    ],
)
def test_what_has_no_effect_or_no_soft_labels_is_refused(plain, prepared, sections, message) -> None:
    settings = {**plain, "student": {"architecture": "naive_bayes"}, **sections}
    with pytest.raises(ConfigError, match=message):
        prepare(parse(settings, source="test"), prepared[1])


def test_a_placeholder_knows_no_ngram(tiny_encoder) -> None:
    info = NaiveBayes().expected(tiny_encoder, "student")
    assert info.fitted
    assert info.gives == ("logits",)


@pytest.mark.parametrize("fits", [True, False], ids=["network", "naive Bayes"])
def test_a_sweep_has_a_row_for_vanilla_kd_only_where_its_student_learns_by_it(
    fits: bool, tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    more = {} if fits else {"student": {"architecture": {"name": "naive_bayes"}}, "method": {"name": "soft_classic"}}
    run = tiny.run_config(tiny_encoder, tiny_corpus, store=str(tmp_path), **more)
    corpus = read(run.corpus, Context(Store(str(tmp_path)), InProcess(), None))
    found = _vanilla(run, Prepared(corpus, (), None))
    assert (found is not None) == fits
