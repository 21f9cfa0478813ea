"""The similarity graph of the units: edge weights from several teachers' embeddings.

Source: "Clustering-Based Knowledge Distillation with Sentence Pruning", section 3.1 and eq. 2. The paper averages the
teachers' embeddings, which is undefined when their widths differ; ``mean_cosine`` is ours.

Weights are whole millionths (int32). Rounding makes the order of the edges the same on every device, and sums of whole
numbers do not depend on how the rows are cut into blocks.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from kdray.errors import ConfigError

Edge = Literal["mean_embedding", "mean_cosine"]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

MAX_UNITS = 20_000  # beyond, exact weights of all pairs take too long: see `kdray.pruning.parts`
MICRO = 1_000_000
_BLOCK_ROWS = 512
_AT_ONCE = 65_536  # rows that are normalized at once


class Weights(Protocol):
    """Edge weights of all pairs of nodes, computed a block of rows at a time."""

    @property
    def num_nodes(self) -> int: ...

    def rows(self, start: int, stop: int) -> Ints:
        """Weights in millionths [stop - start, num_nodes], with a node's weight to itself set to 0."""
        ...


@dataclass(frozen=True)
class CosineWeights:
    """Weights that are dot products of vectors [nodes, width] of length 1, or 0 for a unit without an embedding."""

    vectors: Floats

    @property
    def num_nodes(self) -> int:
        return len(self.vectors)

    def rows(self, start: int, stop: int) -> Ints:
        return _rounded(self.vectors[start:stop] @ self.vectors.T, start)


def _rounded(weights: Floats, start: int) -> Ints:
    micro = np.rint(weights * MICRO).astype(np.int32)
    own = np.arange(len(micro))
    micro[own, start + own] = 0
    return micro


def cosine_weights(embeddings: Sequence[npt.NDArray[Any]], edge: Edge | None = None) -> CosineWeights:
    """Combine the teachers' embeddings into one graph; arguments and errors as `unit_vectors`."""
    return CosineWeights(unit_vectors(embeddings, edge))


def unit_vectors(
    embeddings: Sequence[npt.NDArray[Any]], edge: Edge | None = None, dtype: type[Any] = np.float64
) -> npt.NDArray[Any]:
    """Vectors [units, width] whose dot products are the weights of the graph. They are made in float64, some rows at a
    time, and kept as `dtype`.

    Args:
        embeddings: One array [units, width] for each teacher.
        edge: ``mean_embedding`` is the cosine of the teachers' average, ``mean_cosine`` the average of their cosines;
            None takes the first where all widths agree and the second otherwise.

    Raises:
        ConfigError: No embeddings, different numbers of units, a value that is not finite, or ``mean_embedding`` with
            different widths.
    """
    _check(embeddings)
    widths = [array.shape[1] for array in embeddings]
    if edge == "mean_embedding" and len(set(widths)) > 1:
        raise ConfigError(f"prune.edge = mean_embedding needs teachers of one width, found {widths}; use mean_cosine.")
    side_by_side = edge == "mean_cosine" or len(set(widths)) > 1
    vectors = np.empty((len(embeddings[0]), sum(widths) if side_by_side else widths[0]), dtype)
    for start in range(0, len(vectors), _AT_ONCE):
        rows = [array[start : start + _AT_ONCE] for array in embeddings]
        vectors[start : start + _AT_ONCE] = _side_by_side(rows) if side_by_side else _normalized(_total(rows))
    return vectors


def _side_by_side(embeddings: Sequence[npt.NDArray[Any]]) -> Floats:
    unit = np.concatenate([_normalized(array) for array in embeddings], axis=1)
    return unit / math.sqrt(len(embeddings))


def _total(embeddings: Sequence[npt.NDArray[Any]]) -> Floats:
    total = np.zeros(embeddings[0].shape)
    for array in embeddings:
        total += array
    return total


def _check(embeddings: Sequence[npt.NDArray[Any]]) -> None:
    if not embeddings:
        raise ConfigError(
            "Protected medoids need embeddings of the units, found none; pass them or set prune.keep_medoids = none."
        )
    sizes = [len(array) for array in embeddings]
    if len(set(sizes)) > 1:
        raise ConfigError(f"Every teacher must embed the same units, found {sizes} rows; compute the embeddings again.")
    for teacher, array in enumerate(embeddings):
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise ConfigError(f"Embedding {row} of teacher {teacher} is not finite; compute the embeddings again.")


def _normalized(array: npt.NDArray[Any]) -> Floats:
    vectors = array.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1.0, lengths)


def blocks(weights: Weights) -> Iterator[tuple[int, Ints]]:
    """All rows of the weights: the number of the first row of each block, and the block."""
    for start in range(0, weights.num_nodes, _BLOCK_ROWS):
        yield start, weights.rows(start, min(start + _BLOCK_ROWS, weights.num_nodes))
