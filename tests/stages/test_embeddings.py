"""Embeddings in ranges: each different text once, the same bytes in any blocks, and nothing done twice after a kill."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kdray.stages import Context, embeddings
from kdray.stages.context import TableMap
from kdray.stages.embeddings import Embedder, embed, embedded
from kdray.stages.prune import encoder_embedder
from kdray.store import Store

TEXTS = pa.chunked_array([[f"a {'very ' * (number % 7)}good film" for number in range(30)], ["bad", "the film", "bad"]])
DIFFERENT = 9


class Killed(Exception):
    pass


@dataclass
class Blocks:
    """An engine that maps blocks of some size, last one first, and dies after some of them."""

    size: int
    dies_after: int | None = None
    texts: list[str] = field(default_factory=list[str])

    def map(self, table: pa.Table, factory: Callable[[], TableMap], *, title: str) -> Iterator[pa.Table]:
        del title
        apply = factory()
        for number, start in enumerate(reversed(range(0, len(table), self.size))):
            if number == self.dies_after:
                raise Killed
            block = table.slice(start, self.size)
            self.texts += block["text"].to_pylist()
            yield apply(block)

    def fit(self, spec: object) -> None:
        raise NotImplementedError


@pytest.fixture
def embedder(tiny_encoder: Path) -> Embedder:
    return Embedder("an encoder", partial(encoder_embedder, str(tiny_encoder)))


def made(folder: Path, engine: Blocks, embedder: Embedder) -> np.ndarray:
    return embedded(TEXTS, embedder, Context(Store(str(folder)), engine, None), name="films")


def file(folder: Path) -> bytes:
    (found,) = folder.glob("embeddings/films-*/embeddings.npy")
    return found.read_bytes()


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "RANGE_ROWS", 4)


@pytest.mark.usefixtures("small_ranges")
@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_each_different_text_is_embedded_once_whatever_the_blocks(
    tmp_path: Path, embedder: Embedder, size: int
) -> None:
    engine, whole = Blocks(size), Blocks(100)
    found = made(tmp_path / "blocks", engine, embedder)
    assert len(engine.texts) == len(set(engine.texts)) == DIFFERENT
    np.testing.assert_array_equal(found, embed(TEXTS, embedder.make, whole, title="embed"))  # pyright: ignore
    assert len(whole.texts) == len(TEXTS)
    made(tmp_path / "whole", Blocks(100), embedder)
    assert file(tmp_path / "blocks") == file(tmp_path / "whole")


@pytest.mark.usefixtures("small_ranges")
@pytest.mark.parametrize("dies_after", [0, 1, 2, 3, 5, 8])
def test_a_killed_job_does_only_what_is_missing(tmp_path: Path, embedder: Embedder, dies_after: int) -> None:
    first, second = Blocks(1, dies_after=dies_after), Blocks(2)
    with pytest.raises(Killed):
        made(tmp_path / "killed", first, embedder)
    made(tmp_path / "killed", second, embedder)
    made(tmp_path / "whole", Blocks(100), embedder)
    assert file(tmp_path / "killed") == file(tmp_path / "whole")
    assert set(first.texts) | set(second.texts) == set(TEXTS.to_pylist())
    twice = set(first.texts) & set(second.texts)
    assert len(twice) < embeddings.RANGE_ROWS  # of a range that was not whole
    assert not list((tmp_path / "killed" / "work").glob("*"))


@pytest.mark.usefixtures("small_ranges")
def test_a_second_asking_embeds_nothing(tmp_path: Path, embedder: Embedder) -> None:
    first = made(tmp_path, Blocks(4), embedder)
    again = Blocks(4)
    np.testing.assert_array_equal(made(tmp_path, again, embedder), first)
    assert again.texts == []
    other = Blocks(4)
    made(tmp_path, other, replace(embedder, digest="another encoder"))
    assert len(other.texts) == DIFFERENT
