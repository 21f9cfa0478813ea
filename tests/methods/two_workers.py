"""Two workers in two threads that share a global batch: rows 0, 2, 4 … and rows 1, 3, 5 …"""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import torch
from torch import Tensor

from kdray.methods import Batch
from kdray.signals import Signals


class Meeting:
    def __init__(self) -> None:
        self.barrier, self.brought = Barrier(2, timeout=60), [torch.empty(0), torch.empty(0)]


class Worker:
    """Ranks of one of them."""

    def __init__(self, rank: int, meeting: Meeting) -> None:
        self.rank, self.meeting = rank, meeting

    def gather(self, values: Tensor) -> tuple[Tensor, Tensor]:
        both = self._exchange(values)
        count = len(both[0]) + len(both[1])
        everyone = both[0].new_zeros((count, *both[0].shape[1:]))
        for rank, part in enumerate(both):
            assert len(part) == 0 or part.shape[1:] == both[0].shape[1:], "only tensors of one shape can be gathered"
            everyone[rank::2] = part.reshape(len(part), *everyone.shape[1:])
        return everyone, torch.arange(self.rank, count, 2)

    def sum(self, values: Tensor) -> Tensor:
        one, two = self._exchange(values)
        return one + two

    def _exchange(self, values: Tensor) -> list[Tensor]:
        self.meeting.brought[self.rank] = values.detach().clone()
        self.meeting.barrier.wait()
        both = list(self.meeting.brought)
        self.meeting.barrier.wait()
        return both


def as_two(step: Batch, work: Callable[[Batch], Any]) -> tuple[Any, Any]:
    """What `work` makes of each worker's share of a step; each share is padded to its own longest row."""
    meeting = Meeting()
    parts = [
        dataclasses.replace(
            step,
            student=share(step.student, rank),
            teachers=tuple(share(teacher, rank) for teacher in step.teachers),
            labels=step.labels[rank::2],
            ranks=Worker(rank, meeting),
        )
        for rank in range(2)
    ]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, parts)
    return first, second


def share(signals: Signals, rank: int) -> Signals:
    mine = signals.each(lambda x: x[rank::2])
    if mine.mask is None or mine.hidden is None:
        return mine
    tokens = int(mine.mask.sum(1).max()) if len(mine.mask) else 1
    return dataclasses.replace(mine, mask=mine.mask[:, :tokens], hidden=mine.hidden[:, :, :tokens])
