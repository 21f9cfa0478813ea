"""Rows of several languages: scores of each, training on one of them, balanced batches."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from kdray.config import parse
from kdray.corpora import load_corpus
from kdray.errors import ConfigError
from kdray.export.trained import open_trained
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Store
from kdray.train import loop


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("languages")
    for split, numbers in (("train", range(48)), ("test", range(1000, 1024))):
        rows = [tiny.opinion(number) | {"lang": ("de", "de", "de", "en", "fr")[number % 5]} for number in numbers]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def trained(encoder: Path, corpus: Path, store: Path, **train: Any) -> tuple[Any, Any]:
    rows = {"language_field": "lang", "train_languages": train.pop("languages", ())}
    sections = {"corpus": tiny.opinions(corpus) | rows, "teachers": [], "method": {"name": "finetune"}}
    settings = tiny.run_settings(encoder, corpus, store=str(store), train=tiny.training(1, **train), **sections)
    run = parse(settings, source="test")
    context = Context(Store(run.store), InProcess(), None)
    prepared = prepare(run, context)
    return distill(run, prepared, context), load_corpus(prepared.corpus.folder)


def test_every_language_is_scored_on_its_own_rows(tiny_encoder, corpus, tmp_path) -> None:
    made, stored = trained(tiny_encoder, corpus, tmp_path / "store")
    found = result_of(made)["languages"]["test"]
    assert list(found) == ["de", "en", "fr", "macro"]
    model = open_trained(made.folder)
    table = stored.table("test")
    logits = model.logits(model.load_model(), [table["text"].to_pylist()], precision="fp32")
    right, languages = logits.argmax(1) == stored.labels("test"), np.array(table["language"].to_pylist())
    by_hand = {each: right[languages == each].mean() for each in ("de", "en", "fr")}
    assert {each: found[each]["accuracy"] for each in by_hand} == pytest.approx(by_hand)
    assert found["macro"]["accuracy"] == pytest.approx(np.mean([*by_hand.values()]))


def test_one_language_is_trained_on_and_all_are_scored(tiny_encoder, corpus, tmp_path) -> None:
    made, stored = trained(tiny_encoder, corpus, tmp_path / "store", languages=["en"])
    result = result_of(made)
    assert list(result["languages"]["validation"]) == ["en", "macro"]
    assert list(result["languages"]["test"]) == ["de", "en", "fr", "macro"]
    assert result["rows"]["train"] + stored.table("validation").num_rows == 9


def test_a_step_has_as_many_rows_of_every_language(tiny_encoder, corpus, tmp_path, monkeypatch) -> None:
    batches, step = list[list[str]](), loop._Loop._step

    def watched(self, rows, phase):
        batches.append([self.rows.ids[row] for row in rows])
        step(self, rows, phase)

    monkeypatch.setattr(loop._Loop, "_step", watched)
    plain, stored = trained(tiny_encoder, corpus, tmp_path / "store", batch_size=9)
    table = stored.table("train")
    language = dict(zip(table["id"].to_pylist(), table["language"].to_pylist(), strict=True))
    assert sorted(row for batch in batches for row in batch) == sorted(language)
    batches.clear()
    balanced, _ = trained(tiny_encoder, corpus, tmp_path / "store", batch_size=9, balance="languages")
    counts = [Counter(language[row] for row in batch) for batch in batches]
    assert Counter(language.values())["de"] > 24
    assert counts[:-1] == 4 * [{"de": 3, "en": 3, "fr": 3}]
    assert sorted(counts[-1].values()) == [2, 2, 3]
    assert balanced.digest != plain.digest


def test_balanced_batches_need_languages(tiny_encoder, corpus) -> None:
    settings = tiny.run_settings(tiny_encoder, corpus, train=tiny.training(balance="languages"))
    with pytest.raises(ConfigError, match=r"train\.balance = languages, but the rows of folder have no language"):
        parse(settings, source="test")
