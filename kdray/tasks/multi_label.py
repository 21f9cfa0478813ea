"""Multi label: any number of labels a row; binary cross-entropy of each, and a Bernoulli distribution of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from kdray.tasks.metrics import Predictions, Target
from kdray.tasks.single_label import wide
from kdray.tasks.task import LabelError

SEPARATOR = ";"


@dataclass(frozen=True)
class MultiLabel:
    """Targets are 0 or 1 for each label, int64 [rows, labels]; -1 in all of them marks an unlabeled row."""

    name: str = "multi_label"
    target: Target = "labels"
    metrics: tuple[str, ...] = ("micro_f1", "macro_f1")
    always: tuple[str, ...] = ("micro_f1", "macro_f1")
    problem_type: str = "multi_label_classification"
    outputs: tuple[str, ...] = ()
    class_scores: bool = False

    def read(self, values: pa.ChunkedArray, labels: Sequence[str]) -> pa.Array:
        """Lists of names or numbers, or names joined by `;`; an empty list or text is a row with none of the labels."""
        numbers: dict[Any, int] = {name: number for number, name in enumerate(labels)}
        if pa.types.is_list(values.type) and pa.types.is_integer(values.type.value_type):
            numbers = {number: number for number in range(len(labels))}
        rows: list[list[int] | None] = []
        for row, value in enumerate(values.to_pylist()):
            names = [name.strip() for name in value.split(SEPARATOR) if name.strip()] if _is_text(value) else value
            if names is not None and (not isinstance(names, list) or any(name not in numbers for name in names)):
                allowed = f"lists of {', '.join(labels)} (or their numbers), or these joined by {SEPARATOR!r}"
                raise LabelError(row, value, f"{allowed}; null for a row without a label")
            rows.append(None if names is None else sorted({numbers[name] for name in names}))
        return pa.array(rows, pa.list_(pa.int64()))

    def targets(self, stored: pa.ChunkedArray, labels: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(stored), len(labels)), np.int64)
        for row, numbers in enumerate(stored.to_pylist()):
            found[row, slice(None) if numbers is None else numbers] = -1 if numbers is None else 1
        return found

    def labeled(self, targets: Any) -> Any:
        return targets[:, 0] >= 0

    def hard_rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over labels."""
        rows = F.binary_cross_entropy_with_logits(wide(logits), wide(targets.clamp(min=0).float()), reduction="none")
        return rows.mean(-1) * self.labeled(targets)

    def distributions(self, logits: Tensor) -> Tensor | None:
        """softmax(z, 0) is (σ(z), 1 − σ(z)), at any temperature."""
        return torch.stack([logits, torch.zeros_like(logits)], dim=-1)

    def predictions(self, logits: np.ndarray) -> Predictions:
        probabilities = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))
        return Predictions((probabilities >= 0.5).astype(np.int64), probabilities)

    def baseline(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """Each label with its share; predicted where that is half or more."""
        share = targets.mean(axis=0)
        with np.errstate(divide="ignore"):
            return np.log(share) - np.log1p(-share)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


MULTI_LABEL = MultiLabel()
