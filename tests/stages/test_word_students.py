"""Students of words: trained by every method of logits and in chains, kept, exported, predicted with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import kdray as kd
from kdray.config import parse
from kdray.errors import ConfigError
from kdray.export.bundle import open_bundle
from kdray.methods import METHODS, SoftClassic
from kdray.models import TextCNN, load_classifier
from kdray.signals import TEACHER_NEEDS
from kdray.stages import Context, Prepared, distill, no_kd_baseline, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store

SMALL: dict[str, dict[str, Any]] = {
    "bilstm": {"hidden": 16, "dense": 16, "dropout": 0.1},
    "textcnn": {"filters": 16, "dropout": 0.1},
    "static": {},
}
TEXTS = ["a very good film", "bad", "", "words it has never read"]
QUICK = {"train": tiny.training(1)}


def of_logits(kind: Any) -> bool:
    """Whether steps of the method compare nothing but logits of the student."""
    needs = set[str]().union(*(phase.method.needs for phase in kind().phases(1)))
    return kind is not SoftClassic and needs - TEACHER_NEEDS <= {"logits"}


@pytest.fixture(scope="module")
def glove(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("vectors") / "glove.txt"
    draw = np.random.default_rng(0)
    lines = (f"{word} {' '.join(map(str, draw.normal(size=8).round(3)))}\n" for word in ("good", "bad", "film", "was"))
    file.write_text("".join(lines))
    return file


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_corpus: Path) -> dict[str, Any]:
    store = str(tmp_path_factory.mktemp("words"))
    teachers = [tiny.teacher(tiny_encoder, epochs=3), {**tiny.teacher(tiny_encoder, epochs=2), "name": "u"}]
    more = {"teachers": teachers, "train": tiny.training(4, learning_rate=0.02)}
    return tiny.run_settings(tiny_encoder, tiny_corpus, store=store, student={}, **more)


def student(plain: dict[str, Any], prepared: tuple[Prepared, Context], architecture: Any, **sections: Any) -> Artifact:
    run = parse({**plain, "student": {"architecture": {"units": "words", **architecture}}, **sections}, source="test")
    return distill(run, prepare(run, prepared[1]), prepared[1])


@pytest.mark.parametrize("name", list(SMALL))
def test_a_network_of_words_learns_and_predicts_the_same_after_export(plain, prepared, name, glove, tmp_path) -> None:
    made = student(plain, prepared, {"name": name, "vectors": str(glove), **SMALL[name]})
    result = result_of(made)
    assert result["metrics"]["test"]["accuracy"] > 0.8  # the label can be read off one word
    network = load_classifier(made.file("model"))
    assert result["cost"]["parameters"] == sum(each.numel() for each in network.parameters())
    words = json.loads((made.file("model") / "tokenizer.json").read_text())["model"]["vocab"]
    assert {"good", "bad", "film"} < words.keys()
    assert words.keys().isdisjoint({"[MASK]"})  # which the teacher's tokenizer has
    loaded = kd.Student.load(made.file("model"))
    before = loaded.predict_proba(TEXTS)
    np.testing.assert_allclose(before, kd.Student.load(loaded.save(tmp_path / "saved")).predict_proba(TEXTS), atol=1e-6)
    if name == "textcnn":  # graphs of all networks are compared in tests of their own
        bundle = open_bundle(loaded.export(tmp_path / "int8", format="onnx-int8"), threads=1)
        found = [[*each["probabilities"].values()] for each in bundle.predict(TEXTS)]
        np.testing.assert_allclose(found, before, atol=0.1)


@pytest.mark.parametrize("kind", [kind for kind in METHODS if of_logits(kind)], ids=lambda kind: kind().name)
def test_every_method_of_logits_trains_a_network_of_words(plain, prepared, kind, glove) -> None:
    section = {"architecture": {"name": "bilstm", "units": "words", **SMALL["bilstm"]}, **QUICK}
    assistant = {"assistant": section} if kind().uses_assistant else {}
    settings = {"name": "textcnn", "vectors": str(glove), **SMALL["textcnn"]}
    result = result_of(student(plain, prepared, settings, method={"name": kind().name}, **assistant, **QUICK))
    assert result["spec"]["model"]["architecture"]["units"] == "words"
    assert np.isfinite([value for epoch in result["history"] for value in epoch["terms"].values()]).all()
    if kind().uses_assistant:
        kept = Store(plain["store"]).find(**result["spec"]["assistant"]["model"])
        assert kept is not None
        assert "very" in json.loads((kept.file("model") / "tokenizer.json").read_text())["model"]["vocab"]
        assert result["spec"]["assistant"]["info"]["name"] == "t-bilstm"


def test_what_the_words_are_made_of_is_in_the_digest(plain, prepared, glove, tmp_path) -> None:
    def digest(**settings: Any) -> str:
        return student(plain, prepared, {"name": "textcnn", "filters": 2, **settings}, **QUICK).digest

    found = [digest(), digest(units="tokens"), digest(vocabulary=3), digest(min_rows=1), digest(vectors=str(glove))]
    assert len(set(found)) == len(found)
    other = tmp_path / "glove.txt"
    other.write_text(glove.read_text())
    assert digest(vectors=str(other)) == found[-1]
    other.write_text(glove.read_text() + "very 1 1 1 1 1 1 1 1\n")
    assert digest(vectors=str(other)) != found[-1]


def test_the_baseline_has_the_same_words(plain, prepared) -> None:
    run = parse({**plain, "student": {"architecture": {"name": "textcnn", "units": "words"}}}, source="test")
    base = no_kd_baseline(run)
    assert parse(base.model_dump(mode="json"), source="again") == base
    assert base.student == run.student


@pytest.mark.parametrize("setting", [{"encoder": "minilm"}, {"init_from": "teacher"}])
def test_an_encoder_has_no_effect_on_a_network_of_words(setting) -> None:
    (name,) = setting
    settings = {"student": {"architecture": {"name": "textcnn", "units": "words"}, **setting}}
    sentence = rf"student: {name} has no effect on a textcnn of words; leave it out, or set units: tokens"
    with pytest.raises(ConfigError, match=sentence):
        parse(settings, source="test")


def test_a_student_of_the_api_reads_words(tiny_encoder, tiny_corpus, tmp_path) -> None:
    data = kd.Dataset.from_files(
        tiny_corpus / "train.jsonl", test=tiny_corpus / "test.jsonl", text="text", label="label"
    )
    more = {"train": tiny.training(1), "store": str(tmp_path / "store"), "outputs": {"quality_check": False}}
    small = TextCNN(embedding=8, filters=4, units="words")
    made = kd.distill(kd.Teacher(str(tiny_encoder), **QUICK), data, student=small, **more)
    loaded = kd.Student.load(made.save(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), made.predict_proba(TEXTS))
