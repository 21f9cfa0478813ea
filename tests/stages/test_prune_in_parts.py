"""The whole stage `prune` killed after any part: the same bytes as without, and no part done twice."""

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from blocks import Backwards, Killed

from kdray.config import PruneSection
from kdray.corpora import CorpusSettings
from kdray.pruning import fitting, parts
from kdray.stages import Context, prune, read
from kdray.store import Store

WORDS = [
    "the",
    "film",
    "was",
    "a",
    "long",
    "dull",
    "bright",
    "story",
    "about",
    "love",
    "war",
    "money",
    "and",
    "two",
    "old",
    "friends",
]


def rows(count: int, seed: int) -> pa.Table:
    texts = [
        " ".join(
            f"{WORDS[(seed + i * 7 + j * j) % 15].capitalize()} {WORDS[(i + 3 * j) % 15]} here."
            for j in range(i % 4 + 1)
        )
        for i in range(count)
    ]
    return pa.table({"text": texts, "label": [i % 2 for i in range(count)]})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number, split in enumerate(("train", "validation", "test")):
        pq.write_table(rows(40 if split == "train" else 10, number), folder / f"{split}.parquet")
    return folder


_small_ranges = tiny.ranges_of(16)


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else so few rows are pruned without the engine."""
    monkeypatch.setattr(sys.modules["kdray.stages.prune"], "FEW", 0)


def pruned(corpus: Path, folder: Path, engine: Backwards, encoder: Path, **settings: Any) -> dict[str, bytes]:
    """Every file of the artifact but the manifest, which has the time in it."""
    context = Context(Store(str(folder)), engine, None)
    named = {"name": "folder", "path": str(corpus), "labels": ["bad", "good"]}
    source = read(CorpusSettings.model_validate(named), context)
    section = PruneSection.model_validate({"policy": "lower_tail", "embedders": str(encoder)} | settings)
    made = prune(section, source, [], context)
    return {path.name: path.read_bytes() for path in made.folder.iterdir() if path.name != "manifest.json"}


@pytest.mark.parametrize("settings", [{}, {"level": "row"}, {"keep_medoids": "none"}], ids=["sentence", "row", "alone"])
def test_killed_after_any_part(corpus: Path, tmp_path: Path, tiny_encoder: Path, settings: dict[str, Any]) -> None:
    whole = Backwards()
    expected = pruned(corpus, tmp_path / "whole", whole, tiny_encoder, **settings)
    assert {"train.parquet", "decisions.parquet", "pruner.json"} <= set(expected)
    for dies_after in range(0, len(whole.done), 2):
        first, second = Backwards(dies_after), Backwards()
        folder = tmp_path / f"killed{dies_after}"
        with pytest.raises(Killed):
            pruned(corpus, folder, first, tiny_encoder, **settings)
        assert pruned(corpus, folder, second, tiny_encoder, **settings) == expected
        assert sorted(first.done + second.done) == sorted(whole.done)
        assert not list((folder / "work").glob("*"))


def test_a_graph_in_parts_goes_to_the_workers(
    corpus: Path, tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "MAX_UNITS", 30)
    monkeypatch.setattr(parts.parts_of, "__defaults__", (20,))
    whole = Backwards()
    expected = pruned(corpus, tmp_path / "whole", whole, tiny_encoder)
    graph = [size for title, size in whole.done if "graph" in title]
    assert len(graph) > 1
    assert max(graph) <= 20
    first = Backwards(next(n for n, (title, _) in enumerate(whole.done) if "graph" in title) + 1)
    second = Backwards()
    with pytest.raises(Killed):
        pruned(corpus, tmp_path / "killed", first, tiny_encoder)
    assert pruned(corpus, tmp_path / "killed", second, tiny_encoder) == expected
    assert len([title for title, _ in second.done if "graph" in title]) == len(graph) - 1
