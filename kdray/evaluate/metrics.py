"""Metrics by name, from scikit-learn, which is loaded when the first is computed: it takes a second and a half."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from kdray.errors import BadInput

Metric = Callable[[np.ndarray, np.ndarray], float]


def _by_library(name: str, labels: np.ndarray, predicted: np.ndarray, **settings: Any) -> float:
    from sklearn import metrics

    return float(getattr(metrics, name)(labels, predicted, **settings))


METRICS: dict[str, Metric] = {
    "accuracy": partial(_by_library, "accuracy_score"),
    "f1": partial(_by_library, "f1_score", average="binary", pos_label=1, zero_division=0.0),
    "macro_f1": partial(_by_library, "f1_score", average="macro", zero_division=0.0),
    "matthews": partial(_by_library, "matthews_corrcoef"),
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
