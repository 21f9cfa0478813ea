"""Entities of BIO tags by number, and their scores: whole entities, of exact span and type.

0 is `O`, 2k + 1 is `B-` and 2k + 2 is `I-` of entity type k.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def entities(tags: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The entities of rows of tags, [entities, 4]: row, first word, word behind the last, type; in order.

    As conlleval and seqeval count them, an `I-` that continues no entity begins one.

    >>> entities(np.array([[1, 2, 0, 3]])).tolist()
    [[0, 0, 2, 0], [0, 3, 4, 1]]
    """
    kind = np.where(tags > 0, (tags - 1) // 2, -1)
    before = np.pad(kind, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    starts = (kind >= 0) & ((tags % 2 == 1) | (before != kind))
    after = np.pad(kind, ((0, 0), (0, 1)), constant_values=-1)[:, 1:]
    next_starts = np.pad(starts, ((0, 0), (0, 1)), constant_values=False)[:, 1:]
    ends = (kind >= 0) & (next_starts | (after != kind))
    rows, first = np.nonzero(starts)
    return np.stack([rows, first, np.nonzero(ends)[1] + 1, kind[starts]], axis=1).astype(np.int64)


def entity_scores(targets: np.ndarray, predicted: np.ndarray) -> dict[int | None, dict[str, float]]:
    """Precision, recall, F1 and number of gold entities (`support`), by type number; None is all types together.

    Args:
        targets: [rows, words]; words without a target count as `O` on both sides.
        predicted: Tags, [rows, words].
    """
    known = targets >= 0
    gold, ours = (entities(np.where(known, tags, 0)) for tags in (targets, predicted))
    right = np.array(sorted(set(map(tuple, gold.tolist())) & set(map(tuple, ours.tolist()))), np.int64).reshape(-1, 4)
    kinds: list[int | None] = [None, *sorted({*gold[:, 3].tolist(), *ours[:, 3].tolist()})]

    def count(found: np.ndarray, kind: int | None) -> int:
        return len(found) if kind is None else int((found[:, 3] == kind).sum())

    return {kind: _scores(*(count(found, kind) for found in (right, ours, gold))) for kind in kinds}


def _scores(right: int, predicted: int, gold: int) -> dict[str, float]:
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / gold if gold else 0.0,
        "f1": 2 * right / (predicted + gold) if right else 0.0,
        "support": gold,
    }


def micro_f1(targets: np.ndarray, predicted: np.ndarray) -> float:
    """F1 of all entities together (exact span and type)."""
    return entity_scores(targets, predicted)[None]["f1"]


def macro_f1(targets: np.ndarray, predicted: np.ndarray) -> float:
    """The mean F1 of the types that are in targets or predictions, as seqeval has it."""
    scores = [each["f1"] for kind, each in entity_scores(targets, predicted).items() if kind is not None]
    return float(np.mean(scores)) if scores else 0.0


NO_ENTITIES = _scores(0, 0, 0)
