"""What a running epoch knows of itself: sums on the device, and a line now and then."""

import logging
import time
from typing import Any

import torch
from torch import Tensor

from kdray import meters
from kdray.methods import Ranks
from kdray.train.objective import Reduced

log = logging.getLogger(__name__)
EVERY_SECONDS = 10.0


class Tally:
    """Sums and counts by term and queries by model, kept as tensors so that no step waits for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
        self._queries: dict[str, Tensor] = {}

    def add(self, reduced: Reduced) -> None:
        for mine, new in (
            (self._sums, reduced.sums),
            (self._counts, reduced.counts),
            (self._queries, reduced.queries),
        ):
            for name, value in new.items():
                mine[name] = mine[name] + value.double() if name in mine else value.double()

    def merged(self, ranks: Ranks, device: torch.device) -> dict[str, dict[str, float]]:
        """Everything, summed over all workers, as plain numbers."""
        kinds = {"sums": self._sums, "counts": self._counts, "queries": self._queries}
        flat = [value.to(device) for values in kinds.values() for value in values.values()]
        if not flat:
            return {kind: {} for kind in kinds}
        totals = iter(ranks.sum(torch.stack(flat)).tolist())
        return {kind: {name: next(totals) for name in values} for kind, values in kinds.items()}

    def totals(self, ranks: Ranks, device: torch.device) -> tuple[dict[str, float], dict[str, int]]:
        """Over all workers: the mean of each term, and the number of queries by model."""
        every = self.merged(ranks, device)
        means = {name: total / max(1.0, every["counts"][name]) for name, total in every["sums"].items()}
        return means, {name: int(number) for name, number in every["queries"].items()}

    @staticmethod
    def of(plain: dict[str, Any], *, share: float) -> "Tally":
        """One worker's `share` of merged numbers; those of all workers add up to 1, and each knows every name."""
        tally = Tally()
        for kind, values in plain.items():
            mine = {name: torch.tensor(share * value, dtype=torch.float64) for name, value in values.items()}
            setattr(tally, f"_{kind}", mine)
        return tally

    def mean(self, name: str) -> float:
        return float(self._sums[name] / self._counts[name].clamp(min=1))


class Progress:
    """Says every few seconds how far an epoch is."""

    def __init__(self, title: str, epoch: int, epochs: int, rows: int, speaks: bool) -> None:
        self._title, self._epoch, self._epochs, self._rows, self._speaks = title, epoch, epochs, rows, speaks
        self._done = 0
        self._start = self._last = time.perf_counter()

    def show(self, rows: int, tally: Tally) -> None:
        self._done += rows
        if self._speaks:
            meters.count("rows", rows)
        now = time.perf_counter()
        if not self._speaks or now - self._last < EVERY_SECONDS:
            return
        self._last = now
        log.info(
            "%s: epoch %d/%d, %d of %d rows, %.0f rows/s, hard-label loss %.4f",
            self._title,
            self._epoch,
            self._epochs,
            self._done,
            self._rows,
            self._done / (now - self._start),
            tally.mean("hard"),
        )
