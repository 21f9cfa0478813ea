"""Metrics: one record each, with a direction. scikit-learn and scipy load when the first metric is computed.

A metric compares targets with one kind of a model's outputs. A metric of your own is a function with the decorator
`metric`, named as `module:function` or `file.py:function` wherever a metric is named.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from kdray.errors import ConfigError
from kdray.origin import shipped_or_outside
from kdray.tasks import entities

Needs = Literal["classes", "probabilities", "values"]
Target = Literal["class", "labels", "value", "tags"]
ECE_BINS = 15


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for rows, in the forms that metrics read; None where the task has no such form.

    Attributes:
        classes: The predicted class, int64 [rows]; or 0 and 1 for each label, int64 [rows, labels]; or
            the tag of each word, int64 [rows, words].
        probabilities: Float64 [rows, classes], rows sum to 1; or of each label by itself.
        values: Float64 [rows].
    """

    classes: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: As settings and results name it.
        title: As prose names it.
        compute: (targets, predictions of the kind `needs`) to a number; only labeled rows are given. NaN where it is
            undefined.
        needs: Which of the `Predictions` it reads.
        targets: The kinds of targets that it is defined for.
        higher_is_better: Its direction.
        undefined_when: The rows for which the metric is undefined.
    """

    name: str
    title: str
    compute: Callable[[np.ndarray, np.ndarray], float]
    needs: Needs = "classes"
    targets: tuple[Target, ...] = ("class",)
    higher_is_better: bool = True
    undefined_when: str = ""

    def is_better(self, score: float, than: float) -> bool:
        return is_better(score, than, higher_is_better=self.higher_is_better)


def is_better(score: float, than: float, *, higher_is_better: bool) -> bool:
    """Whether `score` is strictly better than `than`."""
    return score > than if higher_is_better else score < than


def best_of(scores: Iterable[float], *, higher_is_better: bool) -> float | None:
    """The best score; None if there is none."""
    return (max if higher_is_better else min)(scores, default=None)


def metric(
    *,
    title: str = "",
    needs: Needs = "classes",
    targets: tuple[Target, ...] = ("class",),
    higher_is_better: bool = True,
    undefined_when: str = "",
) -> Callable[[Callable[[np.ndarray, np.ndarray], float]], Metric]:
    """Make a metric of a function of (targets, predictions); its name is the function's."""

    def made(compute: Callable[[np.ndarray, np.ndarray], float]) -> Metric:
        name = compute.__name__
        return Metric(name, title or name, compute, needs, targets, higher_is_better, undefined_when)

    return made


def get_metric(name: str) -> Metric:
    """The metric of this name, or the one that `module:function` or `file.py:function` names.

    Raises:
        ConfigError: There is none.
    """
    found: object = shipped_or_outside(name, METRICS, "metric", place="function")
    if not isinstance(found, Metric):
        raise ConfigError(
            f"metric {name!r} is of type {type(found).__name__}; it must be a kdray.tasks.Metric: put "
            "@kdray.tasks.metric(...) above the function."
        )
    return found


def _sklearn(name: str, targets: np.ndarray, predicted: np.ndarray, **settings: Any) -> float:
    from sklearn import metrics

    return float(getattr(metrics, name)(targets, predicted, **settings))


def _log_loss(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean −log p of the target; of labels the mean over them. A probability of 0 counts as float64's epsilon."""
    return -float(np.mean(np.log(np.maximum(_of_target(targets, probabilities), np.finfo(np.float64).eps))))


def _brier(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Squared distance to the target (Brier 1950): summed over classes, 0 to 2; of labels the mean over them."""
    if targets.ndim == 2:
        return float(np.square(probabilities - targets).mean())
    return float(np.square(probabilities - np.eye(probabilities.shape[1])[targets]).sum(axis=1).mean())


def _ece(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): over 15 bins of equal width, (low, high], of the highest
    probability, the mean distance of accuracy and confidence, each bin weighted by its share of rows."""
    confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, is_right - confidence, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(targets))


def _auroc(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve; of three or more classes one against the rest, of labels each: their mean."""
    several = targets if targets.ndim == 2 else np.eye(probabilities.shape[1], dtype=np.int64)[targets]
    if (np.ptp(several, axis=0) == 0).any():
        return float("nan")
    if targets.ndim == 1 and probabilities.shape[1] == 2:
        return _sklearn("roc_auc_score", targets, probabilities[:, 1])
    return _sklearn("roc_auc_score", several, probabilities, average="macro")


def _correlation(name: str, targets: np.ndarray, values: np.ndarray) -> float:
    """Of constant predictions 0, as Matthews' correlation has it."""
    from scipy import stats

    if np.ptp(targets) == 0:
        return float("nan")
    return 0.0 if np.ptp(values) == 0 else float(getattr(stats, name)(targets, values).statistic)


def _of_target(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    if targets.ndim == 2:
        return np.where(targets == 1, probabilities, 1 - probabilities)
    return probabilities[np.arange(len(targets)), targets]


_CLASSES: tuple[Target, ...] = ("class", "labels")
_ALL_EQUAL = "all targets are equal"


def _f1(average: str, **settings: Any) -> Callable[[np.ndarray, np.ndarray], float]:
    return partial(_sklearn, "f1_score", average=average, zero_division=0.0, **settings)


def _regression(
    name: str, title: str, compute: Callable[[np.ndarray, np.ndarray], float], *, higher_is_better: bool = True
) -> Metric:
    return Metric(name, title, compute, "values", ("value",), higher_is_better, _ALL_EQUAL if higher_is_better else "")


_SHIPPED = (
    Metric("accuracy", "accuracy", partial(_sklearn, "accuracy_score"), targets=_CLASSES),
    Metric("f1", "F1", _f1("binary", pos_label=1)),
    Metric("macro_f1", "macro F1", _f1("macro"), targets=_CLASSES),
    Metric("micro_f1", "micro F1", _f1("micro"), targets=_CLASSES),
    Metric("matthews", "Matthews correlation", partial(_sklearn, "matthews_corrcoef")),
    Metric("auroc", "AUROC", _auroc, "probabilities", _CLASSES, undefined_when="all rows, or none, have some class"),
    Metric("log_loss", "log-loss", _log_loss, "probabilities", _CLASSES, higher_is_better=False),
    Metric("brier", "Brier score", _brier, "probabilities", _CLASSES, higher_is_better=False),
    Metric("ece", "expected calibration error", _ece, "probabilities", higher_is_better=False),
    _regression("pearson", "Pearson correlation", partial(_correlation, "pearsonr")),
    _regression("spearman", "Spearman correlation", partial(_correlation, "spearmanr")),
    Metric("entity_f1", "entity F1", entities.micro_f1, targets=("tags",)),
    Metric("entity_macro_f1", "entity macro F1", entities.macro_f1, targets=("tags",)),
    _regression("mse", "mean squared error", partial(_sklearn, "mean_squared_error"), higher_is_better=False),
)
METRICS = {each.name: each for each in _SHIPPED}
