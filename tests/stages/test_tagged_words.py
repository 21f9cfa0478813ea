"""Token classification from files to a student: alignment, cached outputs of words, methods, refusals."""

import json
import re
import tempfile

import numpy as np
import pages
import pandas as pd
import pytest
import tagged
import tiny
import torch
import transformers

import kdray as kd
from kdray.api.reports import _run
from kdray.config import parse
from kdray.corpora import encode
from kdray.errors import ConfigError
from kdray.methods import METHODS
from kdray.models import load_classifier, load_tokenizer
from kdray.models.tokens import grouped
from kdray.report.document import Table
from kdray.report.pages import document_of
from kdray.results import parse_result
from kdray.signals import Outputs
from kdray.stages import Context, InProcess, distill, load_stored, prepare, read
from kdray.stages.train_stage import result_of
from kdray.store import Store
from kdray.tasks import NO_WORD
from kdray.tasks.entities import micro_f1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    untagged = {7: {**tagged.sentence(7), "tags": None}}
    return tagged.save(tmp_path_factory.mktemp("corpora") / "films", rows={"train": untagged})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(str(tmp_path_factory.mktemp("store")))


def go(encoder, folder, store, **sections):
    run = parse(tagged.settings(encoder, folder, **sections), source="test")
    context = Context(store, InProcess(), data_dir=None)
    prepared = prepare(run, context)
    return prepared, distill(run, prepared, context)


def test_a_word_stands_at_its_first_token(tiny_encoder):
    tokenizer = load_tokenizer(tiny_encoder)
    encoded = encode(tokenizer, [[["good-film", "was", "bad"], ["it"]]], max_length=6)
    assert encoded.words is not None
    assert encoded.words.starts.tolist() == [[1, 4, -1], [1, -1, -1]]  # [CLS] good - film was [SEP]
    assert encoded.words.lengths.tolist() == [3, 1]
    assert encoded.words.unread == 1
    assert encoded.rows([1, 0]).words.starts.tolist() == [[1, -1, -1], [1, 4, -1]]


def test_from_files_to_a_student(tiny_encoder, folder, store):
    _, student = go(tiny_encoder, folder, store)
    result = result_of(student)
    assert result["metric"] == "entity_f1"
    assert result["metrics"]["test"]["entity_f1"] > 0.3
    assert result["majority"]["test"] == 0.0
    assert result["rows"]["unlabeled"] == 1
    assert result["query_ratio"] == {"teacher": 1.0}  # words asked of words trained on
    assert set(result["classes"]["test"]) == {"FILM", "PER"}
    assert sum(each["support"] for each in result["classes"]["test"].values()) == 36
    assert result["words"]["test"]["unread"] == 0
    config = json.loads((student.file("model") / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert list(config["id2label"].values()) == ["O", "B-FILM", "I-FILM", "B-PER", "I-PER"]


def test_cached_outputs_of_words_are_those_of_the_teacher(tiny_encoder, folder, store):
    prepared, _ = go(tiny_encoder, folder, store)
    teacher = prepared.teachers[0]
    outputs = Outputs(teacher.outputs.open(store).folder, "train")
    assert outputs.kinds == {"logits"}
    sentences = [tagged.sentence(number) for number in (3, 0)]
    cached = outputs.at(outputs.positions([f"train:{each['id']}" for each in sentences]), frozenset()).logits
    model = load_classifier(teacher.trained.open(store).file("model"))
    tokenizer = load_tokenizer(teacher.trained.open(store).file("model"), model)
    for row, each in enumerate(sentences):
        batch = tokenizer([each["tokens"]], is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**batch).logits[0]
        firsts = [batch.word_ids().index(word) for word in range(len(each["tokens"]))]
        torch.testing.assert_close(cached[row, : len(firsts)], logits[firsts], atol=1e-5, rtol=1e-5)
        assert cached[row, len(firsts) :].isnan().all()


def test_words_behind_the_limit_count_as_missed(tiny_encoder, folder, store):
    short = tiny.training(3, max_length=8)
    _, student = go(tiny_encoder, folder, store, method={"name": "finetune"}, train=short)
    result = result_of(student)
    words = result["words"]["test"]
    assert 0 < words["unread"] < words["words"]
    recall = sum(e["recall"] * e["support"] for e in result["classes"]["test"].values())
    assert recall < 36
    assert sum(e["support"] for e in result["classes"]["test"].values()) == 36


def test_a_teacher_that_reads_fewer_words_teaches_these(tiny_encoder, folder, store):
    teacher = tiny.teacher(tiny_encoder, "short", epochs=1, train=tiny.training(1, max_length=8))
    _, student = go(tiny_encoder, folder, store, teachers=[teacher])
    assert 0.1 < result_of(student)["query_ratio"]["teacher"] < 0.9


METHOD_NAMES = [kind().name for kind in METHODS]
WITHOUT_CLS = {
    "dekd": {"lambda3": 0.0},
    "pkd": {"beta": 0.0},
    "mtbert": {"tokens": "all"},
    "tinybert": {"intermediate_epochs": 1},
}
OF_WHOLE_ROWS = [
    {"name": "dekd"},
    {"name": "pkd"},
    {"name": "mtbert", "tokens": "cls"},
    {"name": "ckdsp", "combine_teachers": "rlkd"},
]


@pytest.fixture(scope="module")
def of_the_page():
    """The methods of the list in docs/methods.md: trained as for one class, by layers, refused."""
    page = (pages.ROOT / "docs/methods.md").read_text()
    section = page.partition("## Tags of words")[2].partition("\n## ")[0]
    items = [item.partition("- ")[2] for item in re.split(r"\n(?=- )", section)[1:]]
    named = [{word for word in re.findall(r"`(\w+)`", item) if word in METHOD_NAMES} for item in items]
    assert [item.partition(":")[0] for item in items[2:]] == ["Refused in one sentence", "Refused too"]
    return named[0], named[1], named[2]


@pytest.fixture(scope="module")
def short(tiny_encoder):
    once = tiny.training(1)
    two = [tiny.teacher(tiny_encoder, name, epochs=1) for name in ("one", "two")]
    return {"teachers": two, "train": once, "assistant": {"train": once}}


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_method_trains_or_is_refused_as_the_page_says(tiny_encoder, folder, store, of_the_page, short, name):
    plain, layers, refused = of_the_page
    method = {"name": name, **WITHOUT_CLS.get(name, {})}
    if name in plain | layers:
        _, student = go(tiny_encoder, folder, store, method=method, **short)
        assert np.isfinite([epoch["loss"] for epoch in result_of(student)["history"]]).all()
    else:
        assert name in refused
        with pytest.raises(ConfigError, match=rf"^method {name} (needs|compares) .*\.$"):
            go(tiny_encoder, folder, store, method=method, **short)


def test_a_narrower_student_trains_by_dynamic_weights(tiny_encoder, folder, store):
    student = {"encoder": str(tiny_encoder), "layers": 1, "width": 8}
    _, narrow = go(tiny_encoder, folder, store, method={"name": "ner_dyn"}, student=student)
    result = result_of(narrow)
    assert json.loads((narrow.file("model") / "config.json").read_text())["hidden_size"] == 8
    assert result["history"][-1]["loss"] < result["history"][0]["loss"]
    assert result["metrics"]["test"]["entity_f1"] > 0


@pytest.mark.parametrize("method", OF_WHOLE_ROWS, ids=str)
def test_settings_that_need_whole_rows_are_refused(tiny_encoder, folder, store, of_the_page, short, method):
    assert method["name"] in of_the_page[2]
    with pytest.raises(ConfigError, match=rf"^method {method['name']} compares the student's (cls|sent_emb)"):
        go(tiny_encoder, folder, store, method=method, **short)


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"prune": {"policy": "lower_tail"}}, r"^prune.policy = lower_tail could remove tagged tokens, and the task"),
        ({"student": {"architecture": "textcnn"}}, r"^student.architecture = textcnn gives one row of scores"),
        ({"student": {"vocabulary": "trim"}}, r"^student.vocabulary = trim reads texts, but the rows of the task"),
    ],
)
def test_what_tags_have_no_use_for_is_refused(tiny_encoder, folder, store, sections, sentence):
    with pytest.raises(ConfigError, match=sentence):
        go(tiny_encoder, folder, store, **sections)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"tokens": ["a", "film"], "tags": ["O"]}, r'line 3 has 2 tokens in "tokens", but 1'),
        ({"tokens": ["a"], "tags": ["I-PER"]}, r'line 3, column "tags" is \'I-PER at the start'),
        (
            {"tokens": ["a", ""], "tags": ["O", "O"]},
            r'line 3, column "tokens" has no token',
        ),
    ],
)
def test_a_wrong_row_is_named(tiny_encoder, tmp_path, store, row, sentence):
    folder = tagged.save(tmp_path / "wrong", rows={"train": {2: {"id": "w", **row}}})
    with pytest.raises(ConfigError, match=sentence):
        go(tiny_encoder, folder, store)


def test_a_student_finds_entities_and_is_exported_with_a_proof(tiny_encoder, folder, store, tmp_path):
    _, artifact = go(tiny_encoder, folder, store)
    student = kd.Student.load(artifact.file("model").parent)
    rows = [tagged.sentence(number)["tokens"] for number in range(900, 924)]
    found = student.predict(rows)
    predicted = np.full((24, max(map(len, rows))), 0)
    for row, entities in enumerate(found):
        for each in entities:
            assert each["tokens"] == rows[row][each["start"] : each["end"]]
            number = 2 * tagged.TYPES.index(each["type"])
            predicted[row, each["start"] : each["end"]] = number + 2
            predicted[row, each["start"]] = number + 1
    tags = [[student.labels.index(tag) for tag in tagged.sentence(number)["tags"]] for number in range(900, 924)]
    targets = np.array([row + [NO_WORD] * (predicted.shape[1] - len(row)) for row in tags])
    assert micro_f1(targets, predicted) == pytest.approx(student.evaluate()["entity_f1"])
    scores = student.predict_proba([["good", "film"], ["it"]])
    assert scores.shape == (2, 2, 5)
    assert scores[0].sum(-1) == pytest.approx([1, 1])
    assert np.isnan(scores[1, 1]).all()
    again = kd.Student.load(student.save(tmp_path / "saved"))
    assert again.predict(rows) == found
    assert json.loads((student.export(tmp_path / "hf", format="hf") / "bundle.json").read_text())["proof"]["rows"] == 24
    assert "pipeline_tag: token-classification" in (tmp_path / "hf" / "README.md").read_text()
    find = transformers.pipeline("token-classification", str(tmp_path / "hf"), aggregation_strategy="simple")
    assert {each["entity_group"] for row in rows for each in find(" ".join(row))} == set(tagged.TYPES)
    with pytest.raises(ConfigError, match=r"^texts\[0\] is 'a film'; expected a list of tokens"):
        student.predict(["a film"])


def test_a_frame_of_tokens_becomes_a_corpus():
    frame = pd.DataFrame([tagged.sentence(number) for number in range(30)])
    data = kd.Dataset.from_pandas(frame, text="tokens", label="tags", task="token_classification")
    assert data.options["labels"] == tagged.TYPES
    with tempfile.TemporaryDirectory() as where:
        run = parse({"corpus": data.settings.model_dump(), "prune": {"policy": "none"}}, source="test")
        corpus = load_stored(read(run.corpus, Context(Store(where), InProcess(), None)))
        assert corpus.task.labels == ("O", "B-FILM", "I-FILM", "B-PER", "I-PER")
        assert len(corpus.table("test")) == 3


def test_the_pipelines_grouping_of_tokens():
    spans = [(0, 1), (2, 3), (3, 4), (5, 6), (7, 8)]
    assert grouped(["B-A", "I-A", "B-A", "I-B", "I-B"], spans) == [("A", 0, 3), ("A", 3, 4), ("B", 5, 8)]
    assert grouped(["O", "I-A", "O", "I-A", "O"], spans) == [("A", 2, 3), ("A", 5, 6)]


def test_the_report_shows_each_entity_type(tiny_encoder, folder, store):
    _, student = go(tiny_encoder, folder, store)
    page = document_of(parse_result(_run(store, student, {})))
    blocks = [block for section in page.sections for block in section.blocks]
    table = next(each for each in blocks if isinstance(each, Table) and each.columns[0] == "entity type")
    f1 = result_of(student)["classes"]["test"]["PER"]["f1"]
    assert [row.cells[0].text for row in table.rows] == ["FILM", "PER"]
    assert table.rows[1].cells[3].text == f"{f1:.3f}"
