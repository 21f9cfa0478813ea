"""The similarity graph of the units, its clusters and their centres.

Source: "Clustering-Based Knowledge Distillation with Sentence Pruning", section 3.1 and eq. 2. The paper averages the
teachers' embeddings, which is undefined when their widths differ, and gives no clustering algorithm beyond "strongest
edge weight": ``mean_cosine``, ``star`` and ``nn`` are ours.

Weights are whole millionths (int32). Rounding makes the order of the edges the same on every device, and sums of whole
numbers do not depend on how the rows are cut into blocks.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from kdray.errors import BadInput

Edge = Literal["mean_embedding", "mean_cosine"]
Ints = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

MAX_UNITS = 20_000  # beyond, exact weights of all pairs take too long
MICRO = 1_000_000
_BLOCK_ROWS = 512
_EDGE_CHUNK = 16_384


class Weights(Protocol):
    """Edge weights of all pairs of nodes, computed a block of rows at a time."""

    @property
    def num_nodes(self) -> int: ...

    def rows(self, start: int, stop: int) -> Ints:
        """Weights in millionths [stop - start, num_nodes], with a node's weight to itself set to 0."""
        ...


@dataclass(frozen=True)
class MatrixWeights:
    """Weights given as a symmetric matrix [nodes, nodes]."""

    matrix: Floats

    @property
    def num_nodes(self) -> int:
        return len(self.matrix)

    def rows(self, start: int, stop: int) -> Ints:
        return _rounded(self.matrix[start:stop], start)


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
    """Combine the teachers' embeddings into one graph.

    Args:
        embeddings: One array [units, width] for each teacher.
        edge: ``mean_embedding`` is the cosine of the teachers' average, ``mean_cosine`` the average of their cosines;
            None takes the first where all widths agree and the second otherwise.

    Raises:
        BadInput: No embeddings, too many units, different numbers of units, a value that is not finite, or
            ``mean_embedding`` with different widths.
    """
    _check(embeddings)
    widths = [array.shape[1] for array in embeddings]
    if edge == "mean_embedding" and len(set(widths)) > 1:
        raise BadInput(f"prune.edge = mean_embedding needs teachers of one width, found {widths}; use mean_cosine.")
    if edge == "mean_cosine" or len(set(widths)) > 1:
        unit = np.concatenate([_normalised(array) for array in embeddings], axis=1)
        return CosineWeights(unit / math.sqrt(len(embeddings)))
    total = np.zeros(embeddings[0].shape)
    for array in embeddings:
        total += array
    return CosineWeights(_normalised(total))


def _check(embeddings: Sequence[npt.NDArray[Any]]) -> None:
    if not embeddings:
        raise BadInput(
            "Protected centres need the units' embeddings, found none; give them or set prune.protect = none."
        )
    sizes = [len(array) for array in embeddings]
    if len(set(sizes)) > 1:
        raise BadInput(f"Every teacher must embed the same units, found {sizes} rows; make the embeddings again.")
    if sizes[0] > MAX_UNITS:
        raise BadInput(
            f"The graph of {sizes[0]} units is too large: centres are worked out for at most {MAX_UNITS} units "
            "so far; set prune.protect = none."
        )
    for teacher, array in enumerate(embeddings):
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise BadInput(f"Embedding {row} of teacher {teacher} is not finite; make the embeddings again.")


def _normalised(array: npt.NDArray[Any]) -> Floats:
    vectors = array.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1.0, lengths)


@dataclass(frozen=True)
class Profile:
    """``theta`` = mean + one population standard deviation of the weights between different nodes, in millionths;
    ``strengths`` [nodes], each node's sum of weights."""

    theta: float
    strengths: npt.NDArray[np.int64]


def profile(weights: Weights) -> Profile:
    """Measure a graph's weights. With fewer than two nodes there is no edge, and ``theta`` is infinite."""
    strengths = np.zeros(weights.num_nodes, dtype=np.int64)
    squares = 0
    for start, block in _blocks(weights):
        wide = block.astype(np.int64)
        strengths[start : start + len(block)] = wide.sum(axis=1)
        squares += sum((wide * wide).sum(axis=1).tolist())  # Python's whole numbers: the total may pass 2**63
    pairs = weights.num_nodes * (weights.num_nodes - 1)
    if not pairs:
        return Profile(math.inf, strengths)
    total = sum(strengths.tolist())
    deviation = math.sqrt(pairs * squares - total * total) / pairs
    return Profile(total / pairs + deviation, strengths)


@dataclass(frozen=True)
class Clusters:
    """``labels`` [nodes] (int32; every left-over node is a cluster of its own) and ``centres`` [nodes], the nodes that
    stand for a cluster of two or more."""

    labels: Ints
    centres: Mask

    @classmethod
    def none(cls, num_nodes: int) -> "Clusters":
        """No graph: every label is -1 and nothing is a centre."""
        return cls(np.full(num_nodes, -1, dtype=np.int32), np.zeros(num_nodes, dtype=np.bool_))


def star_clusters(weights: Weights) -> Clusters:
    """Grow stars around strong nodes, from the strongest edge down.

    Edges of at least `theta` are visited by falling weight, then by node numbers. If both ends are free, the end with
    the larger strength (the lower number, if equal) becomes a centre, and takes all free nodes within `theta` of it.
    An edge of weight 0 or less joins nothing.
    """
    measured = profile(weights)
    first, second, reach = _strong_edges(weights, measured.theta)
    labels = np.full(weights.num_nodes, -1, dtype=np.int32)
    centres = np.zeros(weights.num_nodes, dtype=np.bool_)
    num_clusters = 0
    for start in range(0, len(first), _EDGE_CHUNK):
        left, right = first[start : start + _EDGE_CHUNK], second[start : start + _EDGE_CHUNK]
        while len(free := np.flatnonzero((labels[left] < 0) & (labels[right] < 0))):
            i, j = int(left[free[0]]), int(right[free[0]])
            centre = j if measured.strengths[j] > measured.strengths[i] else i
            near = np.unpackbits(reach[centre], count=weights.num_nodes).astype(np.bool_)
            near[centre] = True
            labels[near & (labels < 0)] = num_clusters
            centres[centre] = True
            num_clusters += 1
            left, right = left[free], right[free]
    alone = np.flatnonzero(labels < 0)
    labels[alone] = num_clusters + np.arange(len(alone), dtype=np.int32)
    return Clusters(labels, centres)


def _strong_edges(weights: Weights, theta: float) -> tuple[Ints, Ints, npt.NDArray[np.uint8]]:
    """Both ends of every edge of at least theta, in visiting order, and for each node a bit row of whom it reaches."""
    lower: list[Ints] = []
    higher: list[Ints] = []
    weight: list[Ints] = []
    reach: list[npt.NDArray[np.uint8]] = []
    columns = np.arange(weights.num_nodes)
    for start, block in _blocks(weights):
        strong = (block >= theta) & (block > 0)
        reach.append(np.packbits(strong, axis=1))
        strong &= columns > (start + np.arange(len(block)))[:, None]
        row, column = np.nonzero(strong)
        lower.append((row + start).astype(np.int32))
        higher.append(column.astype(np.int32))
        weight.append(block[strong])
    # Edges arrive ordered by node numbers, and a stable sort keeps that among equal weights.
    order = np.argsort(-np.concatenate(weight), kind="stable")
    return np.concatenate(lower)[order], np.concatenate(higher)[order], np.concatenate(reach)


def nn_centres(weights: Weights) -> Mask:
    """The nodes that are the strongest neighbour (the lowest number, if equal) of at least one other node.

    A node without an edge above 0 has no neighbour.
    """
    centres = np.zeros(weights.num_nodes, dtype=np.bool_)
    for _, block in _blocks(weights):
        strongest = block.argmax(axis=1)
        centres[strongest[block.max(axis=1) > 0]] = True
    return centres


def _blocks(weights: Weights) -> Iterator[tuple[int, Ints]]:
    for start in range(0, weights.num_nodes, _BLOCK_ROWS):
        yield start, weights.rows(start, min(start + _BLOCK_ROWS, weights.num_nodes))


def silhouettes(weights: Weights, labels: Ints) -> Floats:
    """Each node's silhouette [nodes], between -1 and 1, with distance 1 - weight; 0 for a cluster of one."""
    _, own, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(own, kind="stable")
    firsts = np.cumsum(sizes) - sizes
    values = np.zeros(weights.num_nodes)
    for start, block in _blocks(weights):
        node = np.arange(len(block))
        mine = own[start : start + len(block)]
        distance = 1.0 - block / MICRO
        distance[node, start + node] = 0.0
        sums = np.add.reduceat(distance[:, order], firsts, axis=1)
        within = sums[node, mine] / np.maximum(sizes[mine] - 1, 1)
        means = sums / sizes
        means[node, mine] = math.inf
        nearest = means.min(axis=1)
        larger = np.maximum(within, nearest)
        usable = (sizes[mine] > 1) & (larger > 0) & np.isfinite(nearest)
        values[start + node[usable]] = (nearest[usable] - within[usable]) / larger[usable]
    return values


def silhouette(weights: Weights, labels: Ints) -> float | None:
    """The mean silhouette, or None with fewer than two clusters, for which it has no meaning."""
    if len(np.unique(labels)) < 2:
        return None
    return float(silhouettes(weights, labels).mean())
