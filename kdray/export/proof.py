"""The proof of an export: its logits are compared with those of the model it came from, row by row."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kdray.errors import RunError
from kdray.export.evidence import Evidence, edge_cases
from kdray.export.predict import Bundle
from kdray.export.trained import TrainedModel
from kdray.origin import shown
from kdray.tasks import Task, get_metric, get_task, score_one

FP32_DIFFERENCE = 1e-4  # in logits; of their size where it is above 1, because float32 has seven digits
EQUAL_LABELS = 0.99  # of the rows, for int8
_ONE_MAY_DIFFER = 50  # from so many labels on; below 100 one label is more than 1 %


@dataclass(frozen=True)
class Expected:
    """What the model itself computes in float32: logits of the rows, and of the edge cases each read alone.

    Attributes:
        columns: The texts of the rows by field, shortened by the model's pruner.
    """

    evidence: Evidence
    columns: list[list[str]]
    edges: list[tuple[str, ...]]
    logits: np.ndarray
    edge_logits: np.ndarray


@dataclass(frozen=True)
class Agreement:
    """An export against its model.

    Attributes:
        difference: The largest, in logits, over rows and edge cases.
        labels: How many labels were compared on the rows: one a row, one a word where the task tags words.
        relative: The same over the size of the model's logit, where this is above 1.
        equal_labels: The share of rows with equal labels, of words with equal tags; None where the task has no labels.
        equal_edges: The same of the edge cases.
        metric: The score that `model_score` and `score` are, on the rows.
        lost_points: What the export is worse by, in hundredths.
    """

    rows: int
    edge_cases: int
    labels: int
    difference: float
    relative: float
    equal_labels: float | None
    equal_edges: float | None
    metric: str
    model_score: float
    score: float
    lost_points: float

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def figures(self) -> str:
        labels = "" if self.equal_labels is None else f", {100 * self.equal_labels:.2f} % equal labels"
        return (
            f"largest difference {self.difference:.3g} in logits{labels}, {self.metric} {self.score:.4f} against "
            f"{self.model_score:.4f}"
        )


def expected(model: TrainedModel, loaded: tuple[Any, Any], evidence: Evidence) -> Expected:
    """Compute what the export is compared with; edge cases one by one, so that padding cannot hide a fault."""
    columns, edges = model.shortened(evidence.columns), edge_cases(evidence.columns)
    alone = [model.logits(loaded, model.shortened([[text] for text in row]), precision="fp32") for row in edges]
    logits = model.logits(loaded, columns, precision="fp32")
    return Expected(evidence, columns, edges, logits, joined(alone))


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of outputs, one part after the other; those of tokens are padded with NaN to the longest row."""
    width = max(part.shape[1] for part in parts)
    if parts[0].ndim == 2:
        return np.concatenate(parts)
    padding = [((0, 0), (0, width - part.shape[1]), (0, 0)) for part in parts]
    pairs = zip(parts, padding, strict=True)
    return np.concatenate([np.pad(part, by, constant_values=np.nan) for part, by in pairs])


def compare(bundle: Bundle, model: TrainedModel, wanted: Expected) -> Agreement:
    """Run the bundle on the same rows, and on the edge cases in one batch of mixed lengths and one by one.

    Raises:
        RunError: The bundle shortens a text in another way than the model's pruner.
    """
    if bundle.prune is not None:
        _check_pruning(bundle, model, wanted)
    logits = bundle.logits(list(zip(*wanted.evidence.columns, strict=True)))
    edges = [bundle.logits(wanted.edges, batch_rows=rows) for rows in (len(wanted.edges), 1)]
    return agreement(model, wanted, logits, edges)


def agreement(model: TrainedModel, wanted: Expected, logits: np.ndarray, edges: Sequence[np.ndarray]) -> Agreement:
    """
    Args:
        logits: Of the export, for the rows.
        edges: Of the export, for the edge cases; once or several times.
    """
    task, metric = get_task(model.reading.task), model.reading.metrics[0]
    ours, theirs = joined(edges), np.concatenate([wanted.edge_logits] * len(edges))
    both = [_differences(logits, wanted.logits), _differences(ours, theirs)]
    difference, relative = np.max(both, axis=0).tolist()  # NaN if one is
    scores = [score_one(metric, wanted.evidence.targets, each, task) for each in (wanted.logits, logits)]
    lost = scores[0] - scores[1] if get_metric(metric).higher_is_better else scores[1] - scores[0]
    return Agreement(
        rows=len(logits),
        edge_cases=len(wanted.edges),
        labels=int(_is_read(wanted.logits).sum()),
        difference=difference,
        relative=relative,
        equal_labels=_equal_labels(task, logits, wanted.logits),
        equal_edges=_equal_labels(task, ours, theirs),
        metric=shown(metric),
        model_score=scores[0],
        score=scores[1],
        lost_points=100 * lost,
    )


def fault_of_fp32(found: Agreement) -> str | None:
    """Why a float32 export is refused; None where it may be kept."""
    if not found.relative <= FP32_DIFFERENCE:  # also NaN
        return f"logits differ by more than {FP32_DIFFERENCE:g}, or that share of a logit above 1"
    return "labels differ" if {found.equal_labels, found.equal_edges} - {None, 1.0} else None


def fault_of_int8(found: Agreement, tolerance: float) -> str | None:
    """Why an int8 export is refused; None where it may be kept.

    Args:
        tolerance: Points (hundredths) of the metric that it may lose.
    """
    if not np.isfinite(found.difference):
        return "logits are not finite"
    if not found.lost_points <= tolerance + 1e-9:
        return f"it loses {found.lost_points:.2f} points, more than {tolerance:g}"
    least = min(EQUAL_LABELS, 1 - 1 / found.labels) if found.labels >= _ONE_MAY_DIFFER else EQUAL_LABELS
    if found.equal_labels is not None and found.equal_labels < least - 1e-9:
        return f"only {100 * found.equal_labels:.2f} % of the labels are equal"
    return None


def _check_pruning(bundle: Bundle, model: TrainedModel, wanted: Expected) -> None:
    assert bundle.prune is not None
    for name, texts, pruned in zip(model.reading.fields, wanted.evidence.columns, wanted.columns, strict=True):
        if name in model.reading.prunable and bundle.prune(texts) != pruned:
            raise RunError(f"the exported pruner shortens texts of {name} in another way than the model's own pruner.")


def _differences(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """The largest one, and the largest share of a logit above 1; tokens that neither reads are equal."""
    both = np.isnan(ours) & np.isnan(theirs) if ours.ndim == 3 else np.zeros(ours.shape, bool)
    found = np.abs(np.where(both, 0.0, ours - theirs))
    return float(found.max()), float((found / np.maximum(1.0, np.where(both, 1.0, np.abs(theirs)))).max())


def _equal_labels(task: Task, ours: np.ndarray, theirs: np.ndarray) -> float | None:
    found: Sequence[Any] = [task.predictions(each).classes for each in (ours, theirs)]
    if found[0] is None:
        return None
    equal = found[0] == found[1]
    if ours.ndim == 3:
        return float(equal[_is_read(theirs)].mean())
    return float(equal.reshape(len(ours), -1).all(axis=1).mean())


def _is_read(logits: np.ndarray) -> np.ndarray:
    """Whether a row has logits, or a word of a row, where the model does not read beyond `max_length`."""
    return ~np.isnan(logits[..., 0]) if logits.ndim == 3 else np.ones(len(logits), dtype=bool)
