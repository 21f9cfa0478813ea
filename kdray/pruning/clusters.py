"""Clusters of the similarity graph, their medoids, and how well they separate.

Source: "Clustering-Based Knowledge Distillation with Sentence Pruning", section 3.1, which gives no algorithm beyond
"strongest edge weight": ``star`` and ``nn`` are ours.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kdray.pruning.graph import MICRO, Floats, Ints, Weights, blocks

Mask = npt.NDArray[np.bool_]

_EDGE_CHUNK = 16_384


@dataclass(frozen=True)
class Profile:
    """Statistics of the weights for clustering, in millionths.

    Attributes:
        theta: Mean plus one population standard deviation of the weights between different nodes.
        strengths: Each node's sum of weights [nodes].
    """

    theta: float
    strengths: npt.NDArray[np.int64]


def profile(weights: Weights) -> Profile:
    """Measure a graph's weights. With fewer than two nodes there is no edge, and ``theta`` is infinite."""
    strengths = np.zeros(weights.num_nodes, dtype=np.int64)
    squares = 0
    for start, block in blocks(weights):
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
    """The cluster of each node, and the medoids.

    Attributes:
        labels: Each node's cluster [nodes]; a node without neighbors is its own cluster; -1 without a graph.
        medoids: Whether a node is a medoid [nodes].
    """

    labels: Ints
    medoids: Mask

    @classmethod
    def none(cls, num_nodes: int) -> "Clusters":
        """No graph: every label is -1 and nothing is a medoid."""
        return cls(np.full(num_nodes, -1, dtype=np.int32), np.zeros(num_nodes, dtype=np.bool_))


def star_clusters(weights: Weights, *, theta: float | None = None) -> Clusters:
    """Grow stars around strong nodes, from the strongest edge down.

    Edges of at least `theta` are visited by decreasing weight, then by number. If both ends are free, the one with
    the larger strength (the lower number, if equal) becomes a medoid, and takes all free nodes within `theta` of it.
    An edge of weight 0 or less joins nothing.

    Args:
        theta: In millionths; None uses the graph's own, see `profile`.
    """
    measured = profile(weights)
    first, second, reach = _strong_edges(weights, measured.theta if theta is None else theta)
    labels = np.full(weights.num_nodes, -1, dtype=np.int32)
    medoids = np.zeros(weights.num_nodes, dtype=np.bool_)
    num_clusters = 0
    for start in range(0, len(first), _EDGE_CHUNK):
        left, right = first[start : start + _EDGE_CHUNK], second[start : start + _EDGE_CHUNK]
        while len(free := np.flatnonzero((labels[left] < 0) & (labels[right] < 0))):
            i, j = int(left[free[0]]), int(right[free[0]])
            medoid = j if measured.strengths[j] > measured.strengths[i] else i
            near = np.unpackbits(reach[medoid], count=weights.num_nodes).astype(np.bool_)
            near[medoid] = True
            labels[near & (labels < 0)] = num_clusters
            medoids[medoid] = True
            num_clusters += 1
            left, right = left[free], right[free]
    alone = np.flatnonzero(labels < 0)
    labels[alone] = num_clusters + np.arange(len(alone), dtype=np.int32)
    return Clusters(labels, medoids)


def _strong_edges(weights: Weights, theta: float) -> tuple[Ints, Ints, npt.NDArray[np.uint8]]:
    """Both ends of every edge of at least theta, in visiting order, and for each node a bit row of whom it reaches."""
    lower: list[Ints] = []
    higher: list[Ints] = []
    weight: list[Ints] = []
    reach: list[npt.NDArray[np.uint8]] = []
    columns = np.arange(weights.num_nodes)
    for start, block in blocks(weights):
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


def nn_medoids(weights: Weights) -> Mask:
    """The nodes that are the strongest neighbor (the lowest number, if equal) of at least one other node.

    A node without an edge above 0 has no neighbor.
    """
    medoids = np.zeros(weights.num_nodes, dtype=np.bool_)
    for _, block in blocks(weights):
        strongest = block.argmax(axis=1)
        medoids[strongest[block.max(axis=1) > 0]] = True
    return medoids


def medoids_of(weights: Weights, how: Literal["star", "nn"], *, theta: float | None = None) -> Clusters:
    """The medoids of `star` clusters, or strongest neighbors (`nn`), which form no clusters."""
    if how == "star":
        return star_clusters(weights, theta=theta)
    return Clusters(Clusters.none(weights.num_nodes).labels, nn_medoids(weights))


def silhouettes(weights: Weights, labels: Ints) -> Floats:
    """Each node's silhouette [nodes], between -1 and 1, with distance 1 - weight; 0 for a cluster of one."""
    _, own, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(own, kind="stable")
    firsts = np.cumsum(sizes) - sizes
    values = np.zeros(weights.num_nodes)
    for start, block in blocks(weights):
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
