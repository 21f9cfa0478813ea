"""Single label: one class a row; cross-entropy, and a softmax over the outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from torch import Tensor

from kdray.tasks.metrics import Predictions, Target


@dataclass(frozen=True)
class SingleLabel:
    """Targets are class numbers, int64 [rows]; -1 marks an unlabeled row."""

    name: str = "single_label"
    target: Target = "class"
    metrics: tuple[str, ...] = ("accuracy",)
    always: tuple[str, ...] = ("accuracy", "macro_f1")
    problem_type: str = "single_label_classification"
    outputs: tuple[str, ...] = ()
    class_scores: bool = True

    def read(self, values: pa.ChunkedArray, labels: Sequence[str]) -> pa.Array:
        raise NotImplementedError("columns of classes are read by kdray.corpora")

    def targets(self, stored: pa.ChunkedArray, labels: Sequence[str]) -> np.ndarray:
        return pc.fill_null(stored, -1).to_numpy().astype(np.int64)

    def labeled(self, targets: Any) -> Any:
        return targets >= 0

    def hard_rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy_rows(logits, targets)

    def distributions(self, logits: Tensor) -> Tensor | None:
        return logits

    def predictions(self, logits: np.ndarray) -> Predictions:
        shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        return Predictions(logits.argmax(1), shifted / shifted.sum(axis=1, keepdims=True))

    def baseline(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """The majority class; its probabilities are the classes' shares."""
        counts = np.bincount(targets, minlength=outputs)
        with np.errstate(divide="ignore"):
            return np.log(counts / max(1, counts.sum()))


def wide(x: Tensor) -> Tensor:
    """In at least float32: signals may come in half precision."""
    return x if x.dtype == torch.float64 else x.float()


def cross_entropy_rows(logits: Tensor, labels: Tensor) -> Tensor:
    """Hard-label cross-entropy at temperature 1; rows labeled -1 give 0.

    >>> cross_entropy_rows(torch.zeros(2, 2), torch.tensor([1, -1]))
    tensor([0.6931, 0.0000])
    """
    return F.cross_entropy(wide(logits), labels, reduction="none", ignore_index=-1)


SINGLE_LABEL = SingleLabel()
