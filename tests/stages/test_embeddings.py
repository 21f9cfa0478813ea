"""Embeddings: each different text once, and nothing twice after a kill."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tiny
from blocks import Backwards, Killed

from kdray.engines import InThreads
from kdray.stages import Context, InProcess, embeddings
from kdray.stages.embeddings import Embedder, embed, embedded
from kdray.stages.prune import encoder_embedder
from kdray.store import Store

TEXTS = pa.chunked_array([[f"a {'very ' * (number % 7)}good film" for number in range(30)], ["bad", "the film", "bad"]])
DIFFERENT = 9


_small_ranges = tiny.ranges_of(2)


@pytest.fixture
def embedder(tiny_encoder: Path) -> Embedder:
    return Embedder("an encoder", partial(encoder_embedder, str(tiny_encoder)))


def made(folder: Path, engine: Backwards, embedder: Embedder) -> np.ndarray:
    return embedded(TEXTS, embedder, Context(Store(str(folder)), engine, None), name="films")


def file(folder: Path) -> bytes:
    (found,) = folder.glob("embeddings/texts-*/embeddings.npy")
    return found.read_bytes()


def test_each_different_text_is_embedded_once_and_in_its_place(tmp_path: Path, embedder: Embedder) -> None:
    engine, whole = Backwards(), Backwards()
    found = made(tmp_path, engine, embedder)
    assert len(engine.texts) == len(set(engine.texts)) == DIFFERENT
    np.testing.assert_allclose(found, embed(TEXTS, embedder.make, whole, title="embed"), rtol=1e-5, atol=1e-6)
    assert len(whole.texts) == len(TEXTS)


@pytest.mark.parametrize("dies_after", [0, 1, 2, 3, 4])
def test_a_killed_job_does_only_what_is_missing(tmp_path: Path, embedder: Embedder, dies_after: int) -> None:
    first, second = Backwards(dies_after), Backwards()
    with pytest.raises(Killed):
        made(tmp_path / "killed", first, embedder)
    made(tmp_path / "killed", second, embedder)
    made(tmp_path / "whole", Backwards(), embedder)
    assert file(tmp_path / "killed") == file(tmp_path / "whole")
    assert sorted(first.texts + second.texts) == sorted(set(TEXTS.to_pylist()))
    assert not list((tmp_path / "killed" / "work").glob("*"))


def test_threads_embed_what_one_thread_embeds(embedder: Embedder) -> None:
    one = embed(TEXTS, embedder.make, InProcess(), title="embed")
    np.testing.assert_array_equal(embed(TEXTS, embedder.make, InThreads(threads=3), title="embed"), one)


def test_few_texts_wait_for_no_workers(tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Backwards(threads=2)
    found = made(tmp_path / "few", alone, embedder)
    assert alone.texts == []
    np.testing.assert_array_equal(found, made(tmp_path / "whole", Backwards(), embedder))
    monkeypatch.setattr(embeddings, "FEW", DIFFERENT - 1)
    made(tmp_path / "many", alone, embedder)
    assert len(alone.texts) == DIFFERENT


def test_embeddings_are_cached(tmp_path: Path, embedder: Embedder) -> None:
    first = made(tmp_path, Backwards(), embedder)
    again = Backwards()
    np.testing.assert_array_equal(made(tmp_path, again, embedder), first)
    assert again.texts == []
    other = Backwards()
    made(tmp_path, other, replace(embedder, digest="another encoder"))
    assert len(other.texts) == DIFFERENT
