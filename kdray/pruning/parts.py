"""Large graphs, cut into parts of similar units: exact inside a part, no edge between parts.

A graph of all pairs costs the square of the units. Halving them by their own main direction until a part is small makes
the cost linear, keeps neighbors together, and needs memory for one part at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kdray.pruning.clusters import Clusters, medoids_of
from kdray.pruning.graph import MICRO, CosineWeights

Vectors = npt.NDArray[np.float32]
Runner = Callable[[Callable[[Vectors], Clusters], Sequence[Vectors]], Iterable[Clusters]]

PART_UNITS = 10_000
PAIRS = 1_000_000  # sampled to measure how large weights are
_SAMPLE_ROWS, _POWER_STEPS = 2_048, 20
_AT_ONCE = 65_536  # rows that are copied at once


def parts_of(vectors: npt.NDArray[np.float32], most: int = PART_UNITS) -> list[npt.NDArray[np.int64]]:
    """Disjoint sets of at most `most` units, halves of halves, each in the order of the units.

    Args:
        vectors: [units, width].
    """
    return list(_halved(vectors, np.arange(len(vectors)), most))


def clusters_by_part(vectors: Vectors, how: Literal["star", "nn"], *, run: Runner = map) -> Clusters:
    """Star clusters or strongest neighbors (`nn`) of every part; what is strong is measured over all units.

    Args:
        vectors: [units, width], of length 1 or 0.
        run: As `map`, which works on one part after the other; others may send parts elsewhere.
    """
    theta = sampled_theta(vectors) if how == "star" else None
    parts = parts_of(vectors)
    labels = np.full(len(vectors), -1, dtype=np.int32)
    medoids = np.zeros(len(vectors), dtype=np.bool_)
    seen = 0
    found_in = run(partial(_within, how=how, theta=theta), [vectors[part] for part in parts])
    for part, found in zip(parts, found_in, strict=True):
        labels[part] = np.where(found.labels < 0, -1, found.labels + seen)
        medoids[part] = found.medoids
        seen += max(0, int(found.labels.max(initial=-1)) + 1)
    return Clusters(labels, medoids)


def _within(part: Vectors, *, how: Literal["star", "nn"], theta: float | None) -> Clusters:
    return medoids_of(CosineWeights(part.astype(np.float64)), how, theta=theta)


def sampled_theta(vectors: npt.NDArray[np.float32]) -> float:
    """Mean plus one population standard deviation of the weights of random pairs of different units, in millionths."""
    draw = np.random.default_rng(0)
    left = draw.integers(0, len(vectors), PAIRS)
    right = (left + draw.integers(1, len(vectors), PAIRS)) % len(vectors)
    micro = np.concatenate([_weights(vectors, left[at], right[at]) for at in np.array_split(np.arange(PAIRS), 100)])
    total, squares = int(micro.sum()), sum((micro * micro).tolist())  # whole numbers: no order of adding matters
    return (total + float(np.sqrt(float(PAIRS * squares - total * total)))) / PAIRS


def _weights(vectors: npt.NDArray[np.float32], left: Any, right: Any) -> npt.NDArray[np.int64]:
    products = np.einsum("nd,nd->n", vectors[left].astype(np.float64), vectors[right].astype(np.float64))
    return np.rint(products * MICRO).astype(np.int64)


def _halved(
    vectors: npt.NDArray[np.float32], units: npt.NDArray[np.int64], most: int
) -> Iterator[npt.NDArray[np.int64]]:
    if len(units) <= most:
        yield units
        return
    direction = _main_direction(vectors[units[_spread(len(units))]])
    some = [vectors[units[start : start + _AT_ONCE]] @ direction for start in range(0, len(units), _AT_ONCE)]
    along = np.round(np.concatenate(some), 5)
    order = np.argsort(along, kind="stable")
    middle = len(units) // 2
    for half in (order[:middle], order[middle:]):
        yield from _halved(vectors, units[np.sort(half)], most)


def _spread(count: int) -> npt.NDArray[np.int64]:
    """Evenly spread places among `count`."""
    return np.arange(0, count, max(1, count // _SAMPLE_ROWS))


def _main_direction(sample: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The direction in which some vectors differ most, by power iteration from a fixed start."""
    centered = (sample - sample.mean(axis=0)).astype(np.float64)
    spread = centered.T @ centered
    direction = np.ones(spread.shape[0]) + np.arange(spread.shape[0]) / spread.shape[0]
    for _ in range(_POWER_STEPS):
        direction = spread @ direction
        length = np.linalg.norm(direction)
        if not length:  # all alike
            break
        direction = direction / length
    return direction.astype(np.float32)
