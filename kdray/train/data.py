"""The loop's data: encoded rows with labels, and their teacher signals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from kdray import metrics
from kdray.corpora import Encoded, collate
from kdray.models import autocast, forward
from kdray.signals import TOKEN_NEEDS, Outputs, Signals

# Rows that a frozen model reads at once: enough for the full speed of a processor, or most of a GPU's.
GROUP_ROWS = {"cpu": 8, "cuda": 32}
GROUP_MULTIPLE = 8  # their lengths, in tokens
# Batches are padded to a multiple of this: GPUs are fastest with multiples of 8; on a CPU every padded token costs
# time, and even lengths keep the number of shapes small.
PAD_MULTIPLE = {"cpu": 2, "cuda": 8}
SORTED_ROWS = {"cpu": 32, "cuda": 256}  # the same where nothing but the order of lengths must be kept


@dataclass(frozen=True)
class Rows:
    """Rows ready for training.

    Attributes:
        ids: One per row; the key of teacher signals.
        labels: Targets of the task, [rows, ...]; of a single label class indices, int64, -1 marks an unlabeled row.
        pad_id: The tokenizer's padding token.
        groups: The language of each row as a number, where it counts.
    """

    ids: Sequence[str]
    encoded: Encoded
    labels: Tensor
    pad_id: int
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: np.ndarray) -> "Rows":
        """The given rows in the given order."""
        ids = [self.ids[int(i)] for i in indices]
        groups = None if self.groups is None else self.groups[indices]
        return Rows(ids, self.encoded.rows(indices), self.labels[indices], self.pad_id, groups)

    def batch(self, indices: np.ndarray, device: torch.device, *, multiple: int | None = None) -> dict[str, Tensor]:
        """The inputs of some rows, padded to the longest, rounded up to a multiple that suits the device."""
        multiple = multiple or PAD_MULTIPLE[device.type]
        tensors = collate(self.encoded, indices, pad_id=self.pad_id, multiple=multiple)
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


class Teacher(Protocol):
    """Provides teacher signals for training rows by index."""

    def signals_for(self, indices: np.ndarray, device: torch.device, needs: frozenset[str]) -> Signals: ...


class CachedTeacher:
    """Signals from outputs on disk, matched by row id once and then read by position.

    Attributes:
        predicted: Which rows have a prediction, [rows]; None is all of them.
    """

    def __init__(self, folder: Path, split: str, ids: Sequence[str], *, extra: Path | None = None) -> None:
        self._outputs = Outputs(folder, split, extra=extra)
        self._positions = self._outputs.positions(ids)
        self.predicted = self._outputs.predicted(self._positions)

    def signals_for(self, indices: np.ndarray, device: torch.device, needs: frozenset[str]) -> Signals:
        return self._outputs.at(self._positions[indices], needs).to(device)


class OnlineTeacher:
    """Runs the model inside the step, in eval mode and without gradient.

    Signals of whole rows are those that cached outputs would hold, bit for bit, of the `rows` that the teacher reads.
    Signals of tokens only compare where teacher and student read the same ones: these come from `student_rows`, padded
    as the student's batch is.
    """

    def __init__(
        self,
        model: Any,
        rows: Rows,
        *,
        student_rows: Rows | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        self._rows, self._student_rows = rows, student_rows or rows
        self._precision: Literal["fp32", "bf16"] = precision

    def signals_for(self, indices: np.ndarray, device: torch.device, needs: frozenset[str]) -> Signals:
        if not len(indices):  # a model cannot run on zero rows, so the shapes come from one row
            return self.signals_for(np.zeros(1, np.int64), device, needs).each(lambda value: value[:0])
        metrics.count("teacher_passes", len(indices))
        with torch.no_grad(), autocast(device, self._precision):
            if needs & TOKEN_NEEDS:
                return forward(self._model, self._student_rows.batch(indices, device), needs)
            parts = list(predict_batched(self._model, self._rows, indices, needs=needs, device=device))
        back = torch.from_numpy(np.argsort(np.concatenate([places for places, _ in parts]))).to(device)
        return Signals.join([signals for _, signals in parts]).each(lambda value: value[back])


class MixedTeacher:
    """Reads outputs on disk if they are sufficient, and runs the model otherwise."""

    def __init__(self, cached: CachedTeacher, load: Callable[[], OnlineTeacher]) -> None:
        self._cached, self._load = cached, load
        self._online: OnlineTeacher | None = None

    def signals_for(self, indices: np.ndarray, device: torch.device, needs: frozenset[str]) -> Signals:
        if not needs & TOKEN_NEEDS:
            return self._cached.signals_for(indices, device, needs)
        if self._online is None:
            self._online = self._load()
        return self._online.signals_for(indices, device, needs)


def predict_batched(
    model: Any, rows: Rows, indices: np.ndarray, *, needs: frozenset[str], device: torch.device
) -> Iterator[tuple[np.ndarray, Signals]]:
    """A model's signals for rows, bit for bit independent of the order and the choice of rows.

    The last bits of a matrix product depend on its shape. So a row is padded to a length that is its own (the next
    multiple of 8), and rows of one padded length run in groups of one size, the last of them filled up with repeats.

    Yields:
        Places in `indices`, and the signals of those rows; every place once.
    """
    group = GROUP_ROWS[device.type]
    lengths = -(-rows.encoded.lengths[indices] // GROUP_MULTIPLE)
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        for start in range(0, len(same), group):
            places = same[start : start + group]
            batch = rows.batch(indices[np.resize(places, group)], device, multiple=GROUP_MULTIPLE)
            signals = forward(model, batch, needs)
            yield places, signals.each(itemgetter(slice(len(places))))


def predict_sorted(
    model: Any, rows: Rows, *, needs: frozenset[str], device: torch.device
) -> Iterator[tuple[np.ndarray, Signals]]:
    """Signals for all rows, sorted by length: less padding, but a row's last bits depend on its neighbors."""
    order = np.argsort(rows.encoded.lengths, kind="stable")
    size = SORTED_ROWS[device.type]
    for start in range(0, len(order), size):
        places = order[start : start + size]
        yield places, forward(model, rows.batch(places, device), needs)
