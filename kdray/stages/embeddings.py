"""Stage `embeddings`: what an encoder makes of texts, once for all policies, in ranges that outlive a kill."""

import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from kdray.stages.context import Context, Engine
from kdray.store import Draft, Store, digest_of
from kdray.teachers import Speaker

log = logging.getLogger(__name__)

READING: dict[str, Any] = {"fields": ["text"], "max_length": 128, "precision": "fp32"}  # how texts are read
RANGE_ROWS = 2048  # texts of one range: what a killed job may have to do again


@dataclass(frozen=True)
class Embedder:
    """Attributes:
    digest: Of the encoder's weights and tokenizer.
    make: Loads it, on whichever worker embeds.
    """

    digest: str
    make: Callable[[], Speaker]


def embedded(texts: pa.ChunkedArray, embedder: Embedder, context: Context, *, name: str) -> np.ndarray:
    """Embeddings [texts, width], float32, in the order of the texts; each different text is embedded once.

    Args:
        name: Of the artifact.
    """
    encoded = texts.combine_chunks().dictionary_encode()
    different = encoded.dictionary
    settings = {**READING, "kind": "sent_emb"}
    inputs = {"texts": _digest(different), "encoder": embedder.digest}
    work = context.store.work(digest_of("embeddings", settings=settings, inputs=inputs))

    def build(draft: Draft) -> dict[str, Any]:
        return _in_ranges(different, embedder.make, context, work.where, draft, title=f"embed {name}")

    apart = replace(context, journal=[])  # part of what asks for it, and asked for only where that is not there yet
    artifact = apart.make("embeddings", name, settings=settings, inputs=inputs, build=build)
    work.clear()
    return np.load(artifact.file("embeddings.npy"), mmap_mode="r")[encoded.indices.to_numpy()]


def embed(texts: pa.ChunkedArray, make: Callable[[], Speaker], engine: Engine, *, title: str) -> np.ndarray:
    """The same without a store."""
    found: np.ndarray | None = None
    for places, matrix in _parts(np.arange(len(texts)), texts, make, engine, title=title):
        found = np.empty((len(texts), matrix.shape[1]), np.float32) if found is None else found
        found[places] = matrix
    assert found is not None
    return found


def _in_ranges(
    texts: pa.Array, make: Callable[[], Speaker], context: Context, where: str, draft: Draft, *, title: str
) -> dict[str, Any]:
    """Embed what no earlier try left in the work folder, then put all ranges together in order."""
    store, count = context.store, len(texts)
    starts = range(0, count, RANGE_ROWS)
    missing = [start for start in starts if not store.exists(_file(where, start))]
    rows = np.concatenate([np.arange(start, min(start + RANGE_ROWS, count)) for start in missing] or [np.arange(0)])
    if len(rows) < count:
        log.info("%s: %d of %d texts are there from an earlier try", title, count - len(rows), count)
    if len(rows):
        _fill(rows, texts, make, context, where, title=title)
    first = _read(store, _file(where, 0))
    whole = np.lib.format.open_memmap(
        draft.file("embeddings.npy"), mode="w+", dtype=np.float32, shape=(count, first.shape[1])
    )
    for start in starts:
        whole[start : start + RANGE_ROWS] = _read(store, _file(where, start))
    whole.flush()
    return {"texts": count, "width": int(first.shape[1]), "embedded": len(rows)}


def _fill(
    rows: np.ndarray, texts: pa.Array, make: Callable[[], Speaker], context: Context, where: str, *, title: str
) -> None:
    """Write each range as soon as its last text is embedded, in whatever order that is."""
    open_ranges: dict[int, tuple[np.ndarray, list[int]]] = {}
    for places, matrix in _parts(rows, texts, make, context.engine, title=title):
        for start in np.unique(places - places % RANGE_ROWS).tolist():
            mine = (places >= start) & (places < start + RANGE_ROWS)
            size = min(RANGE_ROWS, len(texts) - start)
            values, left = open_ranges.setdefault(start, (np.empty((size, matrix.shape[1]), np.float32), [size]))
            values[places[mine] - start] = matrix[mine]
            left[0] -= int(mine.sum())
            if not left[0]:
                buffer = io.BytesIO()
                np.save(buffer, values)
                context.store.write_bytes(_file(where, start), buffer.getvalue())
                del open_ranges[start]


def _parts(
    rows: np.ndarray, texts: pa.Array | pa.ChunkedArray, make: Callable[[], Speaker], engine: Engine, *, title: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of texts and their embeddings, as they come."""
    table = pa.table({"id": [str(row) for row in rows.tolist()], "text": texts.take(pa.array(rows))})
    for part in engine.map(table, make, title=title):
        found = part["sent_emb"].combine_chunks()
        matrix = found.flatten().to_numpy(zero_copy_only=False).reshape(len(found), -1)
        yield np.array(part["id"].to_pylist(), dtype=np.int64), matrix.astype(np.float32)


def _digest(texts: pa.Array) -> str:
    total = hashlib.sha256()
    for text in texts.to_pylist():
        content = text.encode()
        total.update(len(content).to_bytes(8, "little") + content)
    return total.hexdigest()


def _file(where: str, start: int) -> str:
    return f"{where}/{start}.npy"


def _read(store: Store, where: str) -> np.ndarray:
    return np.load(io.BytesIO(store.read_bytes(where)), allow_pickle=False)
