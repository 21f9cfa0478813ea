"""What the loop reads: encoded rows and their labels, and teachers that answer for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from kdray.corpora import Encoded, collate
from kdray.models import forward
from kdray.signals import Outputs, Signals


@dataclass(frozen=True)
class Rows:
    """Rows ready for training.

    Attributes:
        ids: One per row; teachers are asked by it.
        labels: Class indices, int64; -1 marks an unlabelled row.
        pad_id: The tokenizer's padding token.
    """

    ids: Sequence[str]
    encoded: Encoded
    labels: Tensor
    pad_id: int

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: np.ndarray) -> "Rows":
        """The given rows in the given order."""
        return Rows([self.ids[i] for i in indices], self.encoded.rows(indices), self.labels[indices], self.pad_id)

    def batch(self, indices: np.ndarray, device: torch.device) -> dict[str, Tensor]:
        """The padded inputs of some rows."""
        tensors = collate(self.encoded, indices, pad_id=self.pad_id)
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


class Teacher(Protocol):
    """Someone who answers for rows of the training split, by their index there."""

    def answer(self, indices: np.ndarray, device: torch.device) -> Signals: ...


class CachedTeacher:
    """Answers from outputs on disk, matched by row id once and read by position from then on."""

    def __init__(self, folder: Path, split: str, ids: Sequence[str], needs: frozenset[str]) -> None:
        self._outputs = Outputs(folder, split)
        self._positions = self._outputs.positions(ids)
        self._needs = needs

    def answer(self, indices: np.ndarray, device: torch.device) -> Signals:
        return self._outputs.at(self._positions[indices], self._needs).to(device)


class OnlineTeacher:
    """Runs the model inside the step: eval mode, no gradient, padded to one length so that company changes nothing."""

    def __init__(self, model: Any, rows: Rows, needs: frozenset[str]) -> None:
        self._model = model.eval().requires_grad_(False)
        self._rows = rows
        self._needs = needs

    def answer(self, indices: np.ndarray, device: torch.device) -> Signals:
        with torch.no_grad():
            return forward(self._model, self._rows.batch(indices, device), self._needs)
