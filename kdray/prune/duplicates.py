"""Near-duplicates: rows that say the same. In one class all but one may be dropped; of two classes they are conflicts.

Source: ours. A row is dropped only if one that is kept lies within the threshold of it, so that a chain of likenesses
never removes what nothing left is like.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kdray.prune.decisions import rescued
from kdray.prune.graph import MAX_UNITS, MICRO, CosineWeights, Floats, Ints, Weights, blocks
from kdray.prune.parts import parts_of
from kdray.prune.settings import DuplicateSettings

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        instead: For each row the one that stands for it, which is itself for a row that is kept [rows].
        likeness: The cosine of the two, 1 for a row that is kept [rows].
        conflicts: Pairs of rows within the threshold that have different labels, lower row first [pairs, 2].
        conflict_likeness: Their cosines [pairs].
    """

    instead: Ints
    likeness: npt.NDArray[np.float64]
    conflicts: Ints
    conflict_likeness: npt.NDArray[np.float64]

    @property
    def dropped(self) -> Mask:
        """Which rows another one stands for [rows]."""
        return self.instead != np.arange(len(self.instead))

    def tables(self, ids: list[str]) -> tuple[pa.Table, pa.Table]:
        """``id``, ``same_as`` and ``likeness`` of the rows another stands for; ``id``, ``other`` and ``likeness`` of
        conflicts."""
        rows = np.flatnonzero(self.dropped)
        names = pa.array(ids, pa.string())
        same = {"id": names.take(rows), "same_as": names.take(self.instead[rows]), "likeness": self.likeness[rows]}
        first, second = self.conflicts.reshape(-1, 2).T
        pairs = {"id": names.take(first), "other": names.take(second), "likeness": self.conflict_likeness}
        return pa.table(same), pa.table(pairs)


def find_duplicates(vectors: Floats, labels: npt.NDArray[np.integer], settings: DuplicateSettings) -> Duplicates:
    """`near_duplicates` by vectors [rows, width]; beyond what one graph holds, within parts of like rows."""
    if len(vectors) <= MAX_UNITS:
        return near_duplicates(CosineWeights(vectors), labels, settings)
    small = vectors.astype(np.float32)
    instead, likeness = np.arange(len(vectors), dtype=np.int32), np.ones(len(vectors))
    pairs: list[Ints] = []
    strengths: list[Floats] = []
    for part in parts_of(small):
        found = near_duplicates(CosineWeights(small[part].astype(np.float64)), labels[part], settings)
        instead[part], likeness[part] = part[found.instead], found.likeness
        pairs.append(part[found.conflicts].astype(np.int32))
        strengths.append(found.conflict_likeness)
    return Duplicates(instead, likeness, np.concatenate(pairs), np.concatenate(strengths))


def near_duplicates(weights: Weights, labels: npt.NDArray[np.integer], settings: DuplicateSettings) -> Duplicates:
    """Decide about all rows at once, in one order: the same for any block size.

    Args:
        weights: Cosines of the rows' embeddings.
        labels: Class numbers [rows]; rows without a label (-1) are alike and conflict with nobody.
    """
    count, least = weights.num_nodes, round(settings.threshold * MICRO)
    edges, strength = _edges(weights, least)
    left, right = edges
    same = labels[left] == labels[right]
    conflict = ~same & (left < right) & (labels[left] >= 0) & (labels[right] >= 0)
    left, right, strength_same = left[same], right[same], strength[same]

    central = np.bincount(left, weights=strength_same, minlength=count)  # whole numbers below 2**53: exact
    order = np.argsort(-central, kind="stable") if settings.keep == "central" else np.arange(count)
    instead, likeness = _leaders(count, (left, right, strength_same), order)
    dropped = instead != np.arange(count)
    back = rescued(
        labels.astype(np.int64) + 1, central / max(1.0, central.max(initial=0.0)), ~dropped, settings.min_per_class
    )
    instead = np.where(back, np.arange(count), instead).astype(np.int32)
    return Duplicates(
        instead=instead,
        likeness=np.where(back, 1.0, likeness),
        conflicts=np.stack([edges[0][conflict], edges[1][conflict]], axis=1).astype(np.int32),
        conflict_likeness=strength[conflict] / MICRO,
    )


def _edges(weights: Weights, least: int) -> tuple[tuple[Ints, Ints], npt.NDArray[np.int64]]:
    """Both ends of every edge of at least `least`, each edge twice, ordered by its first end; and its weight."""
    first: list[Ints] = [np.empty(0, np.int32)]
    second: list[Ints] = [np.empty(0, np.int32)]
    weight: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    for start, block in blocks(weights):
        row, column = np.nonzero(block >= least)
        first.append((row + start).astype(np.int32))
        second.append(column.astype(np.int32))
        weight.append(block[row, column].astype(np.int64))
    return (np.concatenate(first), np.concatenate(second)), np.concatenate(weight)


def _leaders(
    count: int, edges: tuple[Ints, Ints, npt.NDArray[np.int64]], order: npt.NDArray[np.integer]
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """In the given order, each row that nobody stands for yet is kept, and stands for its free neighbours."""
    left, right, strength = edges
    starts = np.searchsorted(left, np.arange(count + 1))
    instead = np.full(count, -1, dtype=np.int32)
    likeness = np.ones(count)
    for row in order:
        if instead[row] >= 0:
            continue
        instead[row] = row
        near = slice(starts[row], starts[row + 1])
        free = instead[right[near]] < 0
        instead[right[near][free]] = row
        likeness[right[near][free]] = strength[near][free] / MICRO
    return instead, likeness
