"""Scores of a model: its logits of rows, and their labels, through the metrics of `kdray.tasks`."""

from collections.abc import Sequence

import numpy as np

from kdray.errors import BadInput
from kdray.tasks.metrics import Predictions, get_metric


def predictions_of(logits: np.ndarray) -> Predictions:
    """Classes and probabilities of class scores, [rows, classes]."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return Predictions(logits.argmax(1), shifted / shifted.sum(axis=1, keepdims=True))


def score_one(metric: str, labels: np.ndarray, logits: np.ndarray) -> float:
    """One metric over the labelled rows (-1 marks an unlabelled row).

    Raises:
        BadInput: The metric is unknown, no row is labelled, or it is undefined for these rows: a missing score is an
            error, not 0.
    """
    found, known = get_metric(metric), labels >= 0
    if not known.any():
        raise BadInput(f"metric {metric!r} cannot be computed: no row is labelled.")
    given = getattr(predictions_of(logits[known]), found.needs)
    score = float(found.compute(labels[known], given))
    if not np.isfinite(score):
        why = found.undefined_when or "some rows have no number"
        raise BadInput(f"metric {metric!r} is not defined for these {known.sum()} rows: it is undefined when {why}.")
    return score


def score_all(metrics: Sequence[str], labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """The named metrics, and accuracy and macro-F1 always."""
    names = dict.fromkeys([*metrics, "accuracy", "macro_f1"])
    return {name: score_one(name, labels, logits) for name in names}


def baseline(metric: str, labels: np.ndarray, *, classes: int) -> float:
    """The score of the majority class, predicted for every row with the classes' shares as probabilities."""
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    with np.errstate(divide="ignore"):
        logits = np.log(counts / max(1, counts.sum()))
    return score_one(metric, labels, np.tile(logits, (len(labels), 1)))
