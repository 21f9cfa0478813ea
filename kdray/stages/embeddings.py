"""Stage `embeddings`: what an encoder makes of texts, once for all policies, in parts that survive a kill."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from kdray.engines import Engine, InThreads
from kdray.stages.context import Context
from kdray.stages.resumable_map import PART_ROWS, in_order, longest_first, map_resumable, split_rows
from kdray.store import Draft, digest_of
from kdray.teachers import TeacherInference

READING: dict[str, Any] = {"fields": ["text"], "max_length": 128, "precision": "fp32"}  # how texts are read


FEW = 16 * PART_ROWS  # texts that threads have embedded before workers have started


@dataclass(frozen=True)
class Embedder:
    """Attributes:
    digest: Of the encoder's weights and tokenizer.
    make: Loads it, on the worker that embeds.
    """

    digest: str
    make: Callable[[], TeacherInference]


def embedded(texts: pa.ChunkedArray, embedder: Embedder, context: Context, *, name: str) -> np.ndarray:
    """Embeddings [texts, width], float32, in the order of the texts; each different text is embedded once.

    Args:
        name: Of what the texts are, for the log. The artifact is named by nothing but its content.
    """
    encoded = texts.combine_chunks().dictionary_encode()
    different = encoded.dictionary
    settings = {**READING, "kind": "sent_emb"}
    inputs = {"texts": _digest(different), "encoder": embedder.digest}
    work = context.store.work(digest_of("embeddings", settings=settings, inputs=inputs))

    def build(draft: Draft) -> dict[str, Any]:
        threads = context.engine.threads if len(different) <= FEW else 0
        here = replace(context, engine=InThreads(threads=threads)) if threads else context
        order = longest_first([different])
        parts = split_rows(_rows(different).take(order))
        found = map_resumable(parts, embedder.make, here, work, "texts", title=f"embed {name}")
        width = _placed(map(_matrix, found), order, draft)
        return {"texts": len(different), "width": width}

    apart = replace(context, journal=[])  # part of another artifact, and needed only where that is not there yet
    artifact = apart.make("embeddings", "texts", settings=settings, inputs=inputs, build=build)
    work.clear()
    return np.load(artifact.file("embeddings.npy"), mmap_mode="r")[encoded.indices.to_numpy()]


def embed(texts: pa.ChunkedArray, make: Callable[[], TeacherInference], engine: Engine, *, title: str) -> np.ndarray:
    """The same without a store."""
    order = longest_first([texts])
    found = in_order(split_rows(_rows(texts).take(order)), make, engine, title=title)
    return np.concatenate([_matrix(part) for part in found])[np.argsort(order)]


def _rows(texts: pa.Array | pa.ChunkedArray) -> pa.Table:
    return pa.table({"id": pa.array(range(len(texts))).cast(pa.string()), "text": texts})


def _placed(matrices: Iterable[np.ndarray], order: np.ndarray, draft: Draft) -> int:
    """Write their rows to the places in `order` of `embeddings.npy`, one matrix at a time; return their width."""
    whole, start = np.empty((0, 0), np.float32), 0
    for matrix in matrices:
        if not start:
            whole = np.lib.format.open_memmap(
                draft.file("embeddings.npy"), mode="w+", dtype=np.float32, shape=(len(order), matrix.shape[1])
            )
        whole[order[start : start + len(matrix)]] = matrix
        start += len(matrix)
    assert isinstance(whole, np.memmap)
    whole.flush()
    return int(whole.shape[1])


def _matrix(part: pa.Table) -> np.ndarray:
    found = part["sent_emb"].combine_chunks()
    return found.flatten().to_numpy(zero_copy_only=False).reshape(len(found), -1).astype(np.float32)


def _digest(texts: pa.Array) -> str:
    total = hashlib.sha256()
    for text in texts.to_pylist():
        content = text.encode()
        total.update(len(content).to_bytes(8, "little") + content)
    return total.hexdigest()
