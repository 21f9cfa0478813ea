"""Metrics by name, from scikit-learn."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from kdray.errors import BadInput

Metric = Callable[[np.ndarray, np.ndarray], float]

METRICS: dict[str, Metric] = {
    "accuracy": accuracy_score,
    "f1": partial(f1_score, average="binary", pos_label=1, zero_division=0.0),  # pyright: ignore[reportArgumentType]
    "macro_f1": partial(f1_score, average="macro", zero_division=0.0),  # pyright: ignore[reportArgumentType]
    "matthews": matthews_corrcoef,
}


def score_one(metric: str, labels: np.ndarray, predicted: np.ndarray) -> float:
    """One metric over the labelled rows (-1 marks an unlabelled row).

    Raises:
        BadInput: The metric is unknown, or no row is labelled: a missing score is an error, not 0.
    """
    if metric not in METRICS:
        raise BadInput(f"metric {metric!r} is unknown; known are {', '.join(METRICS)}.")
    known = labels >= 0
    if not known.any():
        raise BadInput(f"metric {metric!r} cannot be computed: no row is labelled.")
    return float(METRICS[metric](labels[known], predicted[known]))


def score_all(metrics: Sequence[str], labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """The named metrics, and accuracy and macro-F1 always."""
    names = dict.fromkeys([*metrics, "accuracy", "macro_f1"])
    return {name: score_one(name, labels, predicted) for name in names}


def majority(labels: np.ndarray) -> float:
    """The accuracy of always answering the commonest class."""
    known = labels[labels >= 0]
    return float(np.bincount(known).max() / len(known))
