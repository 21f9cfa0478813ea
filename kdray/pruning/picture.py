"""The numbers of a pruning's report: importance around the threshold, prune rate by length, cluster sizes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BINS = 20
LENGTHS = (1, 5, 10, 20, 40, 80)  # words at which a class of lengths begins; a unit without a word is in the first
SIZES = (1, 2, 3, 5, 9, 17, 65, 257)  # units at which a class of clusters begins


def picture(decisions: pa.Table, threshold: float, *, num_nearest: int = 10) -> dict[str, Any]:
    """Counts behind the figures of a report. Plain values, ready for JSON.

    Args:
        decisions: About all units of the fitted split.
        threshold: Units of lower importance are dropped.
        num_nearest: How many units around the threshold to show.

    Returns:
        ``threshold``; ``importance`` with ``edges`` (`BINS` + 1, from 0 to 1) and the units ``kept`` and ``dropped``
        between them (an importance of 1 is in the last); ``lengths``, for each class of words its ``first`` and
        ``last`` (None: no end), ``units`` and ``kept``; ``clusters``, for each class of sizes its ``first`` and
        ``last`` and the ``clusters`` of that size, or None where there is no graph; ``nearest``, the units whose
        importance is nearest to the threshold, in order of importance: ``id``, ``field``, ``text``, ``importance``,
        ``kept`` and ``reason``.
    """
    importance = decisions["importance"].to_numpy()
    kept = decisions["kept"].to_numpy().astype(np.bool_)
    edges = np.linspace(0, 1, BINS + 1)
    words = np.array([len(text.split()) for text in decisions["text"].to_pylist()], dtype=np.int64)
    return {
        "threshold": threshold,
        "importance": {
            "edges": edges.tolist(),
            "kept": np.histogram(importance[kept], edges)[0].tolist(),
            "dropped": np.histogram(importance[~kept], edges)[0].tolist(),
        },
        "lengths": [
            {"first": first, "last": last, "units": int(inside.sum()), "kept": int(kept[inside].sum())}
            for first, last, inside in _classes(np.maximum(words, 1), LENGTHS)
        ],
        "clusters": _clusters(decisions["cluster"].to_numpy()),
        "nearest": _nearest(decisions, np.abs(importance - threshold), num_nearest),
    }


def _clusters(labels: npt.NDArray[np.int32]) -> list[dict[str, Any]] | None:
    sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
    if not len(sizes):
        return None
    return [
        {"first": first, "last": last, "clusters": int(inside.sum())} for first, last, inside in _classes(sizes, SIZES)
    ]


def _classes(
    values: npt.NDArray[np.int64], firsts: Sequence[int]
) -> list[tuple[int, int | None, npt.NDArray[np.bool_]]]:
    """The first and last value of each class, and its members."""
    lasts = [*(first - 1 for first in firsts[1:]), None]
    return [
        (first, last, (values >= first) & (values <= (np.inf if last is None else last)))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _nearest(decisions: pa.Table, distance: npt.NDArray[np.float64], number: int) -> list[dict[str, Any]]:
    chosen = np.argsort(distance, kind="stable")[:number]
    names = ("id", "field", "text", "importance", "kept", "reason")
    found = decisions.select(names).take(pa.array(chosen)).to_pylist()
    return sorted(found, key=lambda unit: unit["importance"])
