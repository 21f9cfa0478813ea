"""Pruning with sentences by a function of a user's own: in the digest, on workers, in students and their exports."""

import json
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pages
import pyarrow.parquet as pq
import pytest
import tiny

import kdray as kd
from kdray.config import load, parse
from kdray.errors import ConfigError
from kdray.experiments.students import sendable
from kdray.origin import sources_of
from kdray.pruning import PruneSettings, part_maps
from kdray.stages import Context, InProcess, read, with_pruning
from kdray.store import Artifact, Store, digest_of

LINES = "# one sentence a line\ndef lines(text):\n    return text.splitlines(keepends=True)\n"  # no other test's text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_splitter.py").write_text(LINES)
    corpus = tmp_path / "reviews"
    corpus.mkdir()
    for split, number in (("train", 24), ("test", 12)):
        rows = [
            {"text": f"We saw film {row}.\nIt was {'good' if row % 2 else 'bad'} and very loud", "label": row % 2}
            for row in range(number)
        ]
        (corpus / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pruned(*overrides: str) -> Artifact:
    plain = {
        "store": "store",
        "corpus": {"name": "folder", "path": "reviews", "labels": ["negative", "positive"]},
        "prune": {"policy": "lower_tail", "level": "sentence", "keep_medoids": "none"},
        "teachers": [],
        "method": {"name": "finetune"},
    }
    Path("run.yaml").write_text(json.dumps(plain))
    run = load(Path("run.yaml"), overrides)
    context = Context(Store(run.store), InProcess(), None)
    found = with_pruning(run, read(run.corpus, context), [], context).pruned_corpus
    assert found is not None
    return found


def test_the_function_cuts_the_training_rows_and_those_that_are_scored(folder) -> None:
    found = pruned("prune.splitter=my_splitter.py:lines")
    decisions = pq.read_table(found.file("decisions.parquet"))
    assert set(decisions["text"].to_pylist()[:2]) == {"We saw film 0.\n", "It was bad and very loud"}
    pieces = {f"We saw film {row}.\n" for row in range(12)} | {f"It was {how} and very loud" for how in ("good", "bad")}
    texts = pq.read_table(found.file("test.parquet"))["text"].to_pylist()
    assert any(text in pieces for text in texts)
    assert all(text in pieces or "\n" in text for text in texts)


def test_the_digest_has_the_source_and_rules_change_none(folder) -> None:
    name = "prune.splitter=my_splitter.py:lines"
    first = pruned(name)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "other.py").write_text(LINES)
    assert pruned("prune.splitter=elsewhere/other.py:lines").digest == first.digest
    (folder / "my_splitter.py").write_text(LINES + "# changed\n")
    assert pruned(name).digest != first.digest
    rules = pruned()
    assert rules.digest == pruned("prune.splitter=rules").digest != first.digest
    settings = PruneSettings(level="sentence", keep_medoids="none").model_dump(mode="json")
    del settings["splitter"]  # as before there was a choice
    corpus = read(load(Path("run.yaml"), []).corpus, Context(Store("store"), InProcess(), None))
    assert rules.digest == digest_of("prune", settings=settings, inputs={"corpus": corpus.digest})


def test_workers_without_the_file_cut_the_same_sentences(folder) -> None:
    Path("quantile.py").write_text(pages.code_with(pages.ROOT / "docs/extending.md", "class Quantile"))
    prune = {"level": "sentence", "splitter": "my_splitter.py:lines", "policy": {"name": "quantile.py:Quantile"}}
    run = parse({"prune": prune}, source="t")
    settings = PruneSettings.model_validate(run.prune.model_dump(exclude={"embedders"}))
    factory = partial(part_maps.sentences, [("text", "body")], settings)
    sources = sources_of([settings.splitter, settings.policy])
    Path("factory.pickle").write_bytes(pickle.dumps(partial(part_maps.with_sources, sources, pickle.dumps(factory))))
    Path("message.json").write_text(json.dumps(sendable(run)))
    (folder / "my_splitter.py").unlink()
    (folder / "quantile.py").unlink()
    worker = """
import json, pathlib, pickle
import pyarrow as pa
from kdray.config import parse
from kdray.experiments.students import SOURCES
from kdray.origin import Source, define
cut = pickle.loads(pathlib.Path("factory.pickle").read_bytes())()
print(cut(pa.table({"id": ["a"], "text": ["One. Two\\nThree"]}))["text"].to_pylist())
message = json.load(open("message.json"))
define(Source.model_validate(each) for each in message.pop(SOURCES))
read = parse(message, source="t").prune
print(read.splitter, read.policy.share)
"""
    done = subprocess.run([sys.executable, "-c", worker], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(["One. Two\n", "Three"]), f"{run.prune.splitter} 0.3"]


def test_a_student_of_such_texts_predicts_here_and_is_not_exported(folder, tiny_encoder) -> None:
    data = kd.Dataset.from_files("reviews/train.jsonl", test="reviews/test.jsonl", text="text", label="label")
    chosen: dict[str, Any] = {"policy": "lower_tail", "level": "sentence", "keep_medoids": "none"}
    shorter = kd.prune(data, splitter="my_splitter.py:lines", **chosen, store="store")
    student = kd.distill(
        None, shorter, student=kd.Encoder(str(tiny_encoder), layers=1), train=tiny.training(1), store="store"
    )
    assert student.pruner is not None
    assert student.pruner.settings.splitter.startswith("my_splitter.py:lines@")
    assert kd.Student.load(student.save("saved")).predict(["It was good\nWe saw it"]) == student.predict(
        ["It was good\nWe saw it"]
    )
    for format in ("hf", "onnx"):
        with pytest.raises(
            ConfigError, match=r"that prune\.splitter = my_splitter\.py:lines cut .*kdray's own rules only"
        ):
            student.export(f"bundle-{format}", format=format)
        assert not Path(f"bundle-{format}").exists()


def test_a_function_that_loses_characters_is_refused_with_the_row(folder) -> None:
    (folder / "my_splitter.py").write_text("def lines(text):\n    return text.splitlines()\n")
    with pytest.raises(
        ConfigError, match=r"my_splitter\.py:lines changes or loses characters of row '[^']+' \('text'\)"
    ):
        pruned("prune.splitter=my_splitter.py:lines")
