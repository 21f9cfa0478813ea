"""Bundles that tag words: the script alone, with texts and lists of tokens, int8, and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import made
import numpy as np
import pytest
import torch
from test_bundle import alone

from kdray.errors import ConfigError, RunError
from kdray.export import bundle as bundles
from kdray.export import predict, quantize
from kdray.export.bundle import export_bundle
from kdray.export.proof import agreement, expected, fault_of_fp32, fault_of_int8
from kdray.export.trained import TrainedModel
from kdray.models import save_classifier
from kdray.tasks import get_task
from kdray.tasks.entities import entities

TOKENS = made.TAGGED["tokens"]


def torch_tags(model: TrainedModel, rows: list[Any]) -> list[list[str]]:
    logits = model.logits(model.load_model(), [rows], precision="fp32")
    found: Any = get_task("token_classification").predictions(logits).classes
    return [[model.outputs[tag] for tag in tags[: len(row)]] for tags, row in zip(found, rows, strict=True)]


def test_a_bundle_gives_the_tags_of_torch_without_torch_transformers_or_kdray(
    tagger: TrainedModel, tag_bundle: Path
) -> None:
    rows = [*TOKENS, ["good-film", "\u200b", "bad"], ["good"] * 100]
    found = alone(tag_bundle, rows)
    assert [each["tags"] for each in found] == torch_tags(tagger, rows)
    assert {tag for each in found for tag in each["tags"]} == set(tagger.outputs)
    assert found[-1]["tags"][30:] == ["O"] * 70  # behind the 32 tokens that it reads
    text = "a very bad film."
    first, *same = alone(tag_bundle, [{"tokens": rows[0]}, text, {"tokens": text}])
    assert (first, same[0]["tokens"]) == (found[0], ["a", "very", "bad", "film", "."])
    assert same[0] == same[1]
    about = json.loads((tag_bundle / "bundle.json").read_text())
    assert about["proof"]["rows"] == 60
    assert about["proof"]["metric"] == "entity_f1"
    assert about["proof"]["score"] == about["proof"]["model_score"] > 0.9
    assert about["proof"]["equal_labels"] == about["proof"]["equal_edges"] == 1
    card = (tag_bundle / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card
    assert "Tags of each token: `O`, `B-FILM`" in card


def test_entities_are_those_that_kdray_counts(tag_bundle: Path) -> None:
    labels = json.loads((tag_bundle / "bundle.json").read_text())["labels"]
    draw = np.random.default_rng(0).random((50, 12, 5)).astype(np.float32)
    draw[:, -2:] = np.nan
    classes: Any = get_task("token_classification").predictions(np.log(draw)).classes
    expected: list[list[Any]] = [[] for _ in draw]
    for row, start, end, kind in entities(classes).tolist():
        expected[row].append((("FILM", "PER")[kind], start, end))
    words = list("abcdefghijkl")
    for scores, wanted in zip(draw, expected, strict=True):
        found = predict.tagged(scores, labels, words)["entities"]
        assert [(each["type"], each["start"], each["end"]) for each in found] == wanted
        assert all(each["tokens"] == words[each["start"] : each["end"]] for each in found)


def test_the_entities_of_a_text_have_its_characters(tag_bundle: Path) -> None:
    text = "the very (bad film), it was good."
    found = predict.load(tag_bundle).predict([text, "", ["the", "bad"]])
    assert found[0]["tokens"] == ["the", "very", "(", "bad", "film", ")", ",", "it", "was", "good", "."]
    assert len(found[0]["tags"]) == 11
    entity = next(each for each in found[0]["entities"] if each["type"] == "PER")
    assert text[entity["start"] : entity["end"]] == entity["text"]
    assert entity["text"].startswith("bad")
    assert 0.2 < entity["confidence"] <= 1
    assert found[1] == {"tokens": [], "tags": [], "entities": []}
    assert found[2]["entities"][0].items() >= {"type": "PER", "start": 1, "end": 2, "tokens": ["bad"]}.items()
    command = [sys.executable, str(tag_bundle / "predict.py"), text, "it was"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert json.loads(lines[0]) == found[0]
    assert len(lines) == 2


@pytest.mark.parametrize("row", [[1], ["a", ""], 5, [["a"], ["b"]]])
def test_something_else_than_tokens_is_refused(tag_bundle: Path, row: Any) -> None:
    with pytest.raises(ValueError, match=r"^texts\[0\] is .*; expected a text, or a list of tokens that are not empty"):
        predict.load(tag_bundle).logits([row])


def test_an_edge_case_that_only_one_of_both_reads_is_a_fault(tagger: TrainedModel, tmp_path: Path) -> None:
    wanted = expected(tagger, tagger.load_model(), made.evidence(tagger, tmp_path, **made.TAGGED))
    other = wanted.edge_logits.copy()
    other[0, 0] = np.nan
    for edges, is_equal in ((wanted.edge_logits, True), (other, False)):
        found = agreement(tagger, wanted, wanted.logits, [edges])
        assert found.labels == np.isfinite(wanted.logits[..., 0]).sum() > found.rows  # words, not texts
        assert (fault_of_fp32(found) is None) == (fault_of_int8(found, 0.5) is None) == is_equal


def same_graph(tag_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tag_bundle / "model.onnx"
    monkeypatch.setattr(bundles, "write_graph", lambda module, batch, file: shutil.copyfile(graph, file))


def test_int8_keeps_tags_and_entities(
    tagger: TrainedModel, tag_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_graph(tag_bundle, monkeypatch)
    evidence = made.evidence(tagger, tmp_path, **made.TAGGED)
    about = export_bundle(tagger, tmp_path / "out", format="onnx-int8", evidence=evidence, calibrate=True)
    assert about["proof"]["lost_points"] <= 0.5
    assert about["proof"]["equal_labels"] >= 0.99
    assert about["proof"]["difference"] > 1e-4
    assert about["calibration"]["log_loss"]["after"] < about["calibration"]["log_loss"]["before"]
    found = predict.load(tmp_path / "out").predict(TOKENS)
    assert np.mean([a["tags"] == b for a, b in zip(found, torch_tags(tagger, TOKENS), strict=True)]) > 0.9


def test_words_that_are_not_read_do_not_hide_how_sensitive_a_node_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "_nodes", lambda graph: ["a", "b", "c"])
    monkeypatch.setattr(quantize, "_dynamic", lambda *_, **__: None)
    exact = np.array([[[1.0, 2.0], [np.nan, np.nan]]])
    runs = iter([exact, exact + 1, exact + 3, exact + 2])
    assert quantize._by_sensitivity(Path("m.onnx"), lambda graph: next(runs), reduce_range=True) == ["b", "c", "a"]


def test_a_graph_with_other_logits_is_refused(
    tagger: TrainedModel, tag_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_graph(tag_bundle, monkeypatch)
    other, tokenizer = tagger.load_model()
    with torch.no_grad():
        other.classifier.bias += 0.001
    save_classifier(other, tokenizer, tmp_path / "other", max_length=32)
    evidence = made.evidence(tagger, tmp_path, **made.TAGGED)
    with pytest.raises(RunError, match=r"refused, logits differ by more than 0\.0001.*: largest difference 0\.001 in"):
        export_bundle(TrainedModel(tmp_path / "other", tagger.reading, {}), tmp_path / "out", evidence=evidence)
    with pytest.raises(ConfigError, match=r"--abstain-below needs rows of one class each"):
        export_bundle(tagger, tmp_path / "out", evidence=evidence, abstain_below=0.5)
