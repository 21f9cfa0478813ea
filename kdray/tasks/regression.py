"""Regression: one number a row; squared error, also to the teacher's number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from kdray.tasks.metrics import Predictions, Target
from kdray.tasks.single_label import wide
from kdray.tasks.task import LabelError

ALLOWED = "finite numbers, or nothing for a row without a label"


@dataclass(frozen=True)
class Regression:
    """Targets are float32 [rows]; NaN marks an unlabeled row."""

    name: str = "regression"
    target: Target = "value"
    metrics: tuple[str, ...] = ("pearson", "spearman")
    always: tuple[str, ...] = ("pearson", "spearman", "mse")
    problem_type: str = "regression"
    outputs: tuple[str, ...] = ("value",)
    class_scores: bool = False

    def read(self, values: pa.ChunkedArray, labels: Sequence[str]) -> pa.Array:
        if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
            return _finite(values.cast(pa.float64()).to_pylist(), values)
        return _finite([_number(value) for value in values.to_pylist()], values)

    def targets(self, stored: pa.ChunkedArray, labels: Sequence[str]) -> np.ndarray:
        return pc.fill_null(stored, float("nan")).to_numpy().astype(np.float32)

    def labeled(self, targets: Any) -> Any:
        return targets == targets

    def hard_rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        known = targets.isnan().logical_not()
        # NaN must not reach the gradient, where a factor of 0 would not remove it
        return (wide(logits)[:, 0] - targets.nan_to_num()).square() * known

    def distributions(self, logits: Tensor) -> Tensor | None:
        return None

    def predictions(self, logits: np.ndarray) -> Predictions:
        return Predictions(values=logits[:, 0].astype(np.float64))

    def baseline(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """The mean."""
        return np.array([targets.mean(dtype=np.float64)])


def _number(value: Any) -> float | None:
    if value is None or str(value).strip() == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _finite(numbers: Sequence[float | None], found: pa.ChunkedArray) -> pa.Array:
    for row, number in enumerate(numbers):
        if number is not None and not np.isfinite(number):
            raise LabelError(row, found[row].as_py(), ALLOWED)
    return pa.array(numbers, pa.float64())


REGRESSION = Regression()
