"""Scores of the student on the method's reward rows, for controllers."""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdray.models import autocast, forward
from kdray.train.data import Rows
from kdray.train.ranks import WorldRanks

PROBE_ROWS = 64


class RewardEvaluator:
    """Measures on rank 0 and broadcasts the result, so that all controllers stay equal."""

    def __init__(
        self,
        student: Any,
        rows: Rows | None,
        ranks: WorldRanks,
        device: torch.device,
        precision: Literal["fp32", "bf16"],
    ) -> None:
        self._student, self._rows, self._ranks = student, rows, ranks
        self._device = device
        self._precision: Literal["fp32", "bf16"] = precision

    def cross_entropy(self) -> float:
        return self._measured(lambda logits, labels: F.cross_entropy(logits, labels))

    def accuracy(self) -> float:
        return self._measured(lambda logits, labels: (logits.argmax(-1) == labels).float().mean())

    def _measured(self, measure: Any) -> float:
        assert self._rows is not None, "only methods with a reward may probe"
        value = measure(self._logits(self._rows), self._rows.labels) if self._ranks.rank == 0 else torch.tensor(0.0)
        return float(self._ranks.sum(value.double().to(self._device)))

    def _logits(self, rows: Rows) -> Tensor:
        was_training = self._student.training
        self._student.eval()
        parts: list[Tensor] = []
        with torch.no_grad(), autocast(self._device, self._precision):
            for start in range(0, len(rows), PROBE_ROWS):
                indices = np.arange(start, min(start + PROBE_ROWS, len(rows)))
                parts.append(forward(self._student, rows.batch(indices, self._device), frozenset()).logits.cpu())
        self._student.train(was_training)
        return torch.cat(parts)
