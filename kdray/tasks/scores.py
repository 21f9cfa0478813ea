"""Scores of a model: its outputs for rows, and their targets, through a task and its metrics."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kdray.errors import ConfigError
from kdray.origin import outside, shown
from kdray.tasks.metrics import Metric, get_metric
from kdray.tasks.single_label import SINGLE_LABEL
from kdray.tasks.task import Task
from kdray.tasks.token_classification import entity_table


def score_one(metric: str, targets: np.ndarray, logits: np.ndarray, task: Task = SINGLE_LABEL) -> float:
    """One metric over the labeled rows.

    Args:
        logits: Outputs of the model, [rows, outputs]; [rows, words, outputs] where targets are tags.

    Raises:
        ConfigError: The metric is unknown or not the task's, no row is labeled, or it is undefined for these rows: a
            missing score is an error, not 0.
    """
    check_metric(metric, task)
    found, known, name = get_metric(metric), task.labeled(targets), shown(metric)
    if not known.any():
        raise ConfigError(f"metric {name!r} cannot be computed: no row is labeled.")
    with outside(f"task {task.name}", type(task)):
        given = getattr(task.predictions(logits[known]), found.needs)
    with outside(f"metric {name}", found.compute if ":" in name else Metric):
        score = float(found.compute(targets[known], given))
    if not np.isfinite(score):
        why = found.undefined_when or "some rows have no number"
        raise ConfigError(f"metric {name!r} is not defined for these {known.sum()} rows: it is undefined when {why}.")
    return score


def check_metric(metric: str, task: Task) -> None:
    """
    Raises:
        ConfigError: The metric is unknown, or is for other targets than the task's.
    """
    found = get_metric(metric)
    if task.target not in found.targets:
        kinds = " or ".join(found.targets)
        raise ConfigError(
            f"metric {shown(metric)!r} is for targets of the kind {kinds}, but {task.name} has {task.target}."
        )


def score_all(
    metrics: Sequence[str], targets: np.ndarray, logits: np.ndarray, task: Task = SINGLE_LABEL
) -> dict[str, float]:
    """The named metrics, and those that the task always reports, by their names in results."""
    return {name: score_one(full, targets, logits, task) for name, full in metrics_of(metrics, task).items()}


def metrics_of(metrics: Sequence[str], task: Task) -> dict[str, str]:
    """The named metrics, and those that the task always reports: their names in results, and their full names."""
    found = dict[str, str]()
    for name in (*metrics, *task.always):
        found.setdefault(shown(name), name)
    return found


def scores_by_class(
    targets: np.ndarray, logits: np.ndarray, labels: Sequence[str], task: Task = SINGLE_LABEL
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of gold rows (`support`) of each class or label over the labeled rows; of tags
    those of each entity type. Empty where targets are numbers.

    >>> scores_by_class(np.array([0, 1, 1]), np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), ["bad", "good"])["good"]
    {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'support': 2}
    """
    if task.target == "tags":
        return entity_table(targets, logits, labels)
    known = task.labeled(targets)
    predicted = task.predictions(logits[known]).classes
    if predicted is None:
        return {}
    from sklearn.metrics import precision_recall_fscore_support

    numbers = [1] if targets.shape[1:] == (1,) else range(len(labels))  # one label alone is 0 or 1, a class of two
    settings: dict[str, Any] = {"labels": numbers, "average": None, "zero_division": 0.0}
    columns: Any = precision_recall_fscore_support(targets[known], predicted, **settings)
    names = ("precision", "recall", "f1", "support")
    return {
        label: dict(zip(names, each, strict=True))
        for label, *each in zip(labels, *(column.tolist() for column in columns), strict=True)
    }


def baseline(metric: str, targets: np.ndarray, *, outputs: int, task: Task = SINGLE_LABEL) -> float:
    """The score of the best constant prediction: the majority class, the mean."""
    known = targets[task.labeled(targets)]
    if not len(known):
        raise ConfigError(f"metric {shown(metric)!r} cannot be computed: no row is labeled.")
    logits = task.baseline(known, outputs)
    places = targets.shape if task.target == "tags" else targets.shape[:1]
    return score_one(metric, targets, np.broadcast_to(logits, (*places, len(logits))), task)
