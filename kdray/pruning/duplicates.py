"""Near-duplicates: rows with similar texts. Within a class they may be dropped; across classes they are conflicts.

Source: ours. A row is dropped only if one that is kept lies within the threshold of it, so a chain of similarities
never removes a row without a similar kept row.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kdray.pruning.decisions import restore_minimum
from kdray.pruning.graph import MAX_UNITS, MICRO, CosineWeights, Floats, Ints, Weights, blocks
from kdray.pruning.parts import parts_of
from kdray.pruning.settings import DuplicateSettings

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        instead: For each row its representative; a kept row is its own [rows].
        similarity: The cosine of the two, 1 for a row that is kept [rows].
        conflicts: Pairs of rows within the threshold that have different labels, lower row first [pairs, 2].
        conflict_similarity: Their cosines [pairs].
    """

    representative: Ints
    similarity: npt.NDArray[np.float64]
    conflicts: Ints
    conflict_similarity: npt.NDArray[np.float64]

    @property
    def dropped(self) -> Mask:
        """The rows that have another representative [rows]."""
        return self.representative != np.arange(len(self.representative))

    def tables(self, ids: list[str]) -> tuple[pa.Table, pa.Table]:
        """Two tables: ``id``, ``same_as`` and ``similarity`` of dropped rows; ``id``, ``other`` and ``similarity`` of
        conflicts."""
        rows = np.flatnonzero(self.dropped)
        names = pa.array(ids, pa.string())
        same = {
            "id": names.take(rows),
            "same_as": names.take(self.representative[rows]),
            "similarity": self.similarity[rows],
        }
        first, second = self.conflicts.reshape(-1, 2).T
        pairs = {"id": names.take(first), "other": names.take(second), "similarity": self.conflict_similarity}
        return pa.table(same), pa.table(pairs)


def find_duplicates(vectors: Floats, labels: npt.NDArray[np.integer], settings: DuplicateSettings) -> Duplicates:
    """`near_duplicates` by vectors [rows, width]; beyond what one graph holds, within parts of similar rows."""
    if len(vectors) <= MAX_UNITS:
        return near_duplicates(CosineWeights(vectors), labels, settings)
    small = vectors.astype(np.float32)
    representative, similarity = np.arange(len(vectors), dtype=np.int32), np.ones(len(vectors))
    pairs: list[Ints] = []
    strengths: list[Floats] = []
    for part in parts_of(small):
        found = near_duplicates(CosineWeights(small[part].astype(np.float64)), labels[part], settings)
        representative[part], similarity[part] = part[found.representative], found.similarity
        pairs.append(part[found.conflicts].astype(np.int32))
        strengths.append(found.conflict_similarity)
    return Duplicates(representative, similarity, np.concatenate(pairs), np.concatenate(strengths))


def near_duplicates(weights: Weights, labels: npt.NDArray[np.integer], settings: DuplicateSettings) -> Duplicates:
    """Decide about all rows at once, in one order: the same for any block size.

    Args:
        weights: Cosines of the rows' embeddings.
        labels: Class numbers [rows]; rows without a label (-1) count as one class and never conflict.
    """
    count, least = weights.num_nodes, round(settings.threshold * MICRO)
    edges, strength = _edges(weights, least)
    left, right = edges
    same = labels[left] == labels[right]
    conflict = ~same & (left < right) & (labels[left] >= 0) & (labels[right] >= 0)
    left, right, strength_same = left[same], right[same], strength[same]

    central = np.bincount(left, weights=strength_same, minlength=count)  # whole numbers below 2**53: exact
    order = np.argsort(-central, kind="stable") if settings.keep == "central" else np.arange(count)
    representative, similarity = _leaders(count, (left, right, strength_same), order)
    dropped = representative != np.arange(count)
    back = restore_minimum(
        labels.astype(np.int64) + 1, central / max(1.0, central.max(initial=0.0)), ~dropped, settings.min_per_class
    )
    representative = np.where(back, np.arange(count), representative).astype(np.int32)
    return Duplicates(
        representative=representative,
        similarity=np.where(back, 1.0, similarity),
        conflicts=np.stack([edges[0][conflict], edges[1][conflict]], axis=1).astype(np.int32),
        conflict_similarity=strength[conflict] / MICRO,
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
    """In the given order, each row without a representative is kept, and represents its free neighbors."""
    left, right, strength = edges
    starts = np.searchsorted(left, np.arange(count + 1))
    representative = np.full(count, -1, dtype=np.int32)
    similarity = np.ones(count)
    for row in order:
        if representative[row] >= 0:
            continue
        representative[row] = row
        near = slice(starts[row], starts[row + 1])
        free = representative[right[near]] < 0
        representative[right[near][free]] = row
        similarity[right[near][free]] = strength[near][free] / MICRO
    return representative, similarity
