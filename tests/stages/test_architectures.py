"""Students that are no transformers: from outside by file and from Python, and kdray's own; trained, kept and read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pytest
import tiny
import torch

import kdray as kd
from kdray.config import load, parse
from kdray.distillation import FitSpec, ModelSource
from kdray.errors import ConfigError
from kdray.methods import KD
from kdray.models import Architecture, BiLSTM, TextCNN, architecture_at, load_classifier
from kdray.origin import class_named
from kdray.stages import Context, InProcess, Prepared, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store

MINE = pages.code_with(pages.ROOT / "docs/extending.md", "class MyLSTM")
SMALL: dict[str, dict[str, Any]] = {
    "bilstm": {"embedding": 16, "hidden": 16, "dense": 16, "dropout": 0.1},
    "textcnn": {"embedding": 16, "filters": 16, "dropout": 0.1},
    "static": {"hidden": 16},
}
QUICK = {"train": tiny.training(1)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_architecture.py"
    path.write_text(MINE)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_corpus: Path) -> dict[str, Any]:
    store = str(tmp_path_factory.mktemp("architectures"))
    teachers = [tiny.teacher(tiny_encoder, epochs=3)]
    return tiny.run_settings(
        tiny_encoder, tiny_corpus, store=store, teachers=teachers, train=tiny.training(4, learning_rate=0.02)
    )


def student(plain: dict[str, Any], prepared: tuple[Prepared, Context], architecture: Any, **sections: Any) -> Artifact:
    settings = {"architecture": architecture, **sections.pop("student", {})}
    run = parse({**plain, "student": settings, **sections}, source="test")
    return distill(run, prepare(run, prepared[1]), prepared[1])


def test_a_network_of_a_file_learns_from_a_transformer(plain, prepared, file, tmp_path) -> None:
    settings = {key: value for key, value in plain.items() if key != "student"}
    (tmp_path / "run.yaml").write_text(json.dumps(settings))
    run = load(tmp_path / "run.yaml", [f"student.architecture={file}:MyLSTM", "student.architecture.hidden=16"])
    assert run.student.architecture.hidden == 16
    assert run.student_encoder == plain["teachers"][0]["encoder"]  # the first teacher's tokenizer
    made = distill(run, prepare(run, prepared[1]), prepared[1])
    result = result_of(made)
    assert result["metrics"]["test"]["accuracy"] > 0.8  # the label can be read off one word
    assert [term for epoch in result["history"] for term in epoch["terms"]][:2] == ["hard", "kd"]
    folder = made.file("model")
    assert {each.name for each in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert architecture_at(folder).label == "MyLSTM"
    assert "MyLSTM" in (folder / "README.md").read_text()


def test_an_object_of_python_is_the_same_student_as_a_name_in_a_file(plain, prepared, file) -> None:
    kind: Any = class_named(Architecture, f"{file}:MyLSTM", "key")
    named = student(plain, prepared, {"name": f"{file}:MyLSTM", "hidden": 8}, **QUICK)
    assert student(plain, prepared, kind(hidden=8), **QUICK).digest == named.digest
    assert student(plain, prepared, kind(hidden=9), **QUICK).digest != named.digest


def test_the_source_is_in_the_digest_and_the_folder_is_not(plain, prepared, file, tmp_path) -> None:
    first = student(plain, prepared, {"name": f"{file}:MyLSTM", "hidden": 8}, **QUICK)
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text(MINE)
    assert student(plain, prepared, {"name": f"{other}:MyLSTM", "hidden": 8}, **QUICK).digest == first.digest
    file.write_text(MINE + "\n# another source\n")
    assert student(plain, prepared, {"name": f"{file}:MyLSTM", "hidden": 8}, **QUICK).digest != first.digest


def test_a_worker_without_the_file_builds_the_same_class_and_a_folder_names_no_code(
    plain, prepared, file, tmp_path
) -> None:
    settings = {"name": f"{file}:MyLSTM", "hidden": 8}
    made, run = student(plain, prepared, settings, **QUICK), parse({"student": {"architecture": settings}}, source="t")
    corpus = {"stage": "corpus", "name": "none", "digest": "0" * 64}
    spec = {"store": "s", "digest": "d", "title": "t", "corpus": corpus, "labels": ["a", "b"], "train": {}}
    source = ModelSource(architecture=run.student.architecture, encoder="e")
    whole = FitSpec.model_validate({**spec, "model": source, "method": KD()})
    (tmp_path / "message.json").write_text(json.dumps(whole.message()))
    file.unlink()
    worker = """
import json, sys
from pathlib import Path
from kdray.distillation import FitSpec
from kdray.errors import ConfigError
from kdray.models import load_classifier
try:
    load_classifier(Path(sys.argv[2]))
except ConfigError as error:
    print(error)
found = FitSpec.of_message(json.loads(Path(sys.argv[1]).read_text())).model.architecture
print(json.dumps([found.name, found.hidden, type(found).network.__qualname__]))
print(load_classifier(Path(sys.argv[2])).architecture == found)
"""
    command = [sys.executable, "-c", worker, str(tmp_path / "message.json"), str(made.file("model"))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    refused, defined, loaded = done.stdout.splitlines()
    assert "whose class is not defined in this process" in refused
    assert json.loads(defined) == [source.architecture.name, 8, "MyLSTM.network"]
    assert loaded == "True"


@pytest.mark.parametrize("name", list(SMALL))
def test_a_shipped_network_learns_and_is_loaded_again(plain, prepared, name) -> None:
    made = student(plain, prepared, {**SMALL[name], "name": name})
    result = result_of(made)
    assert result["metrics"]["test"]["accuracy"] > 0.8
    again = load_classifier(made.file("model"))
    assert sum(each.numel() for each in again.parameters()) == result["cost"]["parameters"]
    assert again.config.id2label == dict(enumerate(tiny.LABELS))


def test_word_vectors_may_begin_as_the_fine_tuned_teachers(plain, prepared) -> None:
    made = prepared[0].teachers[0].model.open(prepared[1].store).file("model")
    network = TextCNN(filters=4, vectors="encoder").build(made, labels=tiny.LABELS, seed=0)
    table = load_classifier(made).get_input_embeddings().weight
    torch.testing.assert_close(network.network.table.weight, table, rtol=0, atol=0)
    settings = {"name": "textcnn", "filters": 4, "vectors": "encoder"}
    of_teacher = student(plain, prepared, settings, student={"init_from": "teacher"}, **QUICK)
    assert result_of(of_teacher)["cost"]["parameters"] == sum(each.numel() for each in network.parameters())
    assert student(plain, prepared, settings, **QUICK).digest != of_teacher.digest


def test_a_student_of_the_api_predicts_the_same_after_it_was_saved(tiny_encoder, tiny_corpus, tmp_path) -> None:
    data = kd.Dataset.from_files(
        tiny_corpus / "train.jsonl", test=tiny_corpus / "test.jsonl", text="text", label="label"
    )
    more = {"train": tiny.training(1), "store": str(tmp_path / "store"), "outputs": {"quality_check": False}}
    teacher = kd.Teacher(str(tiny_encoder), **QUICK)
    small = TextCNN(embedding=8, filters=4)
    made = kd.distill(teacher, data, student=small, **more)
    loaded = kd.Student.load(made.save(tmp_path / "saved"))
    texts = ["a good film", "bad"]
    np.testing.assert_array_equal(loaded.predict_proba(texts), made.predict_proba(texts))
    assert architecture_at(tmp_path / "saved") == small


@pytest.mark.parametrize(
    ("method", "signal"),
    [("pkd", "cls"), ("tinybert", "attn"), ("minilm", "qkv_last"), ("dekd", "cls")],
)
def test_methods_that_compare_layers_are_refused_before_anything_starts(plain, method, signal, tmp_path) -> None:
    sections = {"student": {"architecture": "bilstm"}, "method": {"name": method}, "store": str(tmp_path / "none")}
    run = parse({**plain, **sections}, source="test")
    sentence = rf"^method {method} compares the student's {signal}, but bilstm gives only logits; take .* such as kd\.$"
    with pytest.raises(ConfigError, match=sentence):
        prepare(run, Context(Store(run.store), InProcess(), None))
    assert {path.name for path in (tmp_path / "none").iterdir()} == {"corpus", "drafts", "locks", "kdray-store.json"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ("return self.logits", "return self.logits(vectors.mean(1).repeat(1, 2)) #"),
            r"depends on how far the row is",
        ),
        (("dim=-1))", "dim=-1))[:, :1]"), r"gives logits of the shape \[2, 1\] for 2 rows; expected is \[2, 2\]"),
        (("attention_mask.sum(1).cpu()", "attention_mask.length"), r"cannot run architecture MyLSTM \(AttributeError"),
        (("def network", "def other"), r"student.architecture.name = .* leaves out network"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_in_one_sentence(plain, prepared, file, change, sentence) -> None:
    assert change[0] in MINE
    file.write_text(MINE.replace(*change))
    with pytest.raises(ConfigError, match=sentence):
        student(plain, prepared, f"{file}:MyLSTM")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture": "bilstm", "layers": 2}, r"student: layers has no effect on a bilstm; leave it out"),
        ({"architecture": "lstm"}, r"student.architecture.name = 'lstm' is unknown; did you mean bilstm"),
        ({"architecture": {"name": "textcnn", "filter": 3}}, r"unknown setting student.architecture.filter of textcnn"),
        (
            {"architecture": {"name": "bilstm", "hidden": 0}},
            r"student.architecture.hidden = 0: allowed is a number from 1",
        ),
        ({"layers": []}, r"student.layers: expected a number of layers, or .* \(found \[\]\)\.$"),
        ({"layers": [0, 0, 2]}, r"different layers from the bottom to the top"),
        ({"layers": [2, 0]}, r"different layers from the bottom to the top"),
        ({"layers": [0, 2], "init": "skip"}, r"student: init has no effect where layers lists the layers"),
    ],
)
def test_settings_without_effect_are_refused(settings, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse({"student": settings}, source="test")


def test_a_list_of_layers_takes_these(plain, prepared, tiny_encoder) -> None:
    run = load(None, ["student.layers=[0, 2]", f"student.encoder={tiny_encoder}"])
    assert run.student.layers == (0, 2)
    assert kd.Encoder(str(tiny_encoder), layers=[0, 2]).settings == run.student
    none = {"method": {"name": "finetune"}, "train": tiny.training(1, learning_rate=1e-12)}
    few = [student(plain, prepared, "transformer", student={"encoder": str(tiny_encoder), "layers": layers}, **none)
           for layers in (2, [0, 1], [0, 2])]  # fmt: skip
    two, bottom, other = [load_classifier(made.file("model")).bert.encoder.layer for made in few]
    torch.testing.assert_close(bottom.state_dict(), two.state_dict(), rtol=0, atol=1e-6)
    assert not torch.equal(other[1].attention.self.query.weight, two[1].attention.self.query.weight)
    assert few[2].digest not in (few[0].digest, few[1].digest)


def test_a_layer_that_is_not_there_is_refused(plain, tiny_encoder) -> None:
    run = parse({**plain, "student": {"encoder": str(tiny_encoder), "layers": [0, 4]}}, source="test")
    with pytest.raises(ConfigError, match=r"student.layers = \[0, 4\] names layer 4, but .* has the layers 0 to 3\."):
        prepare(run, Context(Store(run.store), InProcess(), None))


def test_a_file_of_word_vectors_is_read_and_its_content_is_in_the_digest(plain, prepared, tmp_path) -> None:
    glove = tmp_path / "glove.txt"
    glove.write_text("good 1 2 3\nunseen 9 9 9\nfilm -1 0.5 0\n")
    settings = {"name": "textcnn", "filters": 4, "vectors": str(glove)}
    model = TextCNN(filters=4, vectors=str(glove)).build(
        Path(plain["teachers"][0]["encoder"]), labels=("a", "b"), seed=1
    )
    assert model.network.table.weight[[tiny.WORDS.index("good"), tiny.WORDS.index("film")]].tolist() == [
        [1, 2, 3],
        [-1, 0.5, 0],
    ]
    first = student(plain, prepared, settings, **QUICK)
    glove.write_text("good 1 2 3\nfilm -1 0.5 1\n")
    assert student(plain, prepared, settings, **QUICK).digest != first.digest
    glove.write_text("good 1 2 3\nfilm -1 0.5\n")
    with pytest.raises(ConfigError, match=r"line 2 has 2 values, lines before it another number"):
        BiLSTM(vectors=str(glove)).build(Path(plain["teachers"][0]["encoder"]), labels=("a", "b"), seed=1)


@pytest.mark.parametrize("assistant", ["transformer", "bilstm", "file"])
def test_a_chain_of_assistants_goes_over_any_architectures(plain, prepared, file, assistant) -> None:
    named = {"bilstm": {"name": "bilstm", **SMALL["bilstm"]}, "file": {"name": f"{file}:MyLSTM", "hidden": 8}}
    section = {"train": tiny.training(1), "architecture": named.get(assistant, assistant)}
    settings = {"name": "textcnn", **SMALL["textcnn"]}
    made = student(plain, prepared, settings, method={"name": "takd"}, assistant=section, **QUICK)
    spec = result_of(made)["spec"]
    assert spec["model"]["architecture"]["name"] == "textcnn"
    label = {"file": "MyLSTM", "transformer": "ta2"}.get(assistant, assistant)  # ⌈√(1·4)⌉ layers below the teacher
    assert spec["assistant"]["info"]["name"] == f"t-{label}"
    kept = Store(plain["store"]).find(**spec["assistant"]["outputs"])
    assert kept is not None
    assert {path.name.split(".")[1] for path in kept.folder.glob("train.*.npy")} == (
        {"logits", "cls", "sent_emb"} if assistant == "transformer" else {"logits"}
    )


def test_an_assistant_learns_by_another_method(plain, prepared) -> None:
    student_of = {"encoder": plain["teachers"][0]["encoder"], "layers": 1}
    section = {"train": tiny.training(1), "method": {"name": "pkd"}}
    more = {"method": {"name": "takd"}, **QUICK, "student": student_of}
    patient = student(plain, prepared, "transformer", assistant=section, **more)
    plainly = student(plain, prepared, "transformer", assistant={"train": tiny.training(1)}, **more)
    assert patient.digest != plainly.digest
    network = {**section, "architecture": "textcnn"}
    with pytest.raises(
        ConfigError, match=r"method pkd compares the student's cls, but the assistant gives only logits"
    ):
        student(plain, prepared, "transformer", assistant=network, **more)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"assistant": {"method": {"name": "takd"}}}, r"assistant: method takd does not distill an assistant"),
        ({"assistant": {"method": {"name": "ens_u"}}}, r"assistant: method ens_u does not distill an assistant"),
        ({"assistant": {"architecture": "bilstm", "init": "bottom"}}, r"assistant: init has no effect on a bilstm"),
        (
            {
                "assistant": {"architecture": "bilstm"},
                "student": {"init_from": "assistant"},
                "method": {"name": "takd"},
            },
            r"the assistant is a bilstm, which has no layers to take",
        ),
    ],
)
def test_assistants_that_cannot_be_made_are_refused(settings, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse(settings, source="test")
