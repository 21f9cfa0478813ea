"""The workers that share a global batch: one process, or a `torch.distributed` group."""

from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from kdray.methods import Ranks


class WorldRanks(Ranks, Protocol):
    """This process's rank and the operations between ranks."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...


class SingleRank:
    """A world of one."""

    rank = 0
    size = 1

    def gather(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return values, torch.arange(len(values), device=values.device)

    def sum(self, values: Tensor) -> Tensor:
        return values


class GroupRanks:
    """The default process group. Worker `r` of `w` holds rows r, r + w, r + 2w … of the global batch; where it holds
    another number of rows (these are words), the global batch is one worker's rows after the other's."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def gather(self, values: Tensor) -> tuple[Tensor, Tensor]:
        counts = self._counts(len(values), values.device)
        count, longest = sum(counts), max(counts)
        padded = values.new_zeros((longest, *values.shape[1:]))
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        if counts != [-(-(count - rank) // self.size) for rank in range(self.size)]:
            start = sum(counts[: self.rank])
            own = torch.arange(start, start + len(values), device=values.device)
            return torch.cat([part[:number] for part, number in zip(parts, counts, strict=True)]), own
        everyone = torch.stack(parts, dim=1).flatten(0, 1)[:count]
        return everyone, self.rank + self.size * torch.arange(len(values), device=values.device)

    def _counts(self, mine: int, device: torch.device) -> list[int]:
        counts = torch.zeros(self.size, dtype=torch.int64, device=device)
        counts[self.rank] = mine
        return self.sum(counts).tolist()

    def sum(self, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total
