"""Progress of an epoch or a map over rows: sums on the device, and a bar or a log line every few seconds."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kdray.methods import Ranks
from kdray.train.objective import StepLoss

log = logging.getLogger(__name__)
EVERY_SECONDS, BAR_SECONDS = 10.0, 1.0  # between two lines, and between two losses of a bar


class MetricAccumulator:
    """Sums and counts by term and queries by model, kept as tensors so that no step waits for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
        self._weighted: dict[str, Tensor] = {}
        self._queries: dict[str, Tensor] = {}

    def add(self, step_loss: StepLoss) -> None:
        for mine, new in (
            (self._sums, step_loss.sums),
            (self._counts, step_loss.counts),
            (self._weighted, step_loss.weighted),
            (self._queries, step_loss.queries),
        ):
            for name, value in new.items():
                mine[name] = mine[name] + value.double() if name in mine else value.double()

    def merged(self, ranks: Ranks, device: torch.device) -> dict[str, dict[str, float]]:
        """Everything, summed over all workers, as plain numbers."""
        kinds = {"sums": self._sums, "counts": self._counts, "weighted": self._weighted, "queries": self._queries}
        flat = [value.to(device) for values in kinds.values() for value in values.values()]
        if not flat:
            return {kind: {} for kind in kinds}
        totals = iter(ranks.sum(torch.stack(flat)).tolist())
        return {kind: {name: next(totals) for name in values} for kind, values in kinds.items()}

    def totals(
        self, weights: Mapping[str, float], ranks: Ranks, device: torch.device
    ) -> tuple[dict[str, float], dict[str, float], dict[str, int]]:
        """Over all workers: the mean of each term, the same weighted, and the number of queries by model.

        Args:
            weights: Of terms whose weights follow no schedule.
        """
        every = self.merged(ranks, device)
        rows = {name: max(1.0, count) for name, count in every["counts"].items()}
        means = {name: total / rows[name] for name, total in every["sums"].items()}
        scheduled = {name: total / rows[name] for name, total in every["weighted"].items()}
        weighted = {name: scheduled[name] if name in scheduled else weights[name] * means[name] for name in means}
        return means, weighted, {name: int(number) for name, number in every["queries"].items()}

    @staticmethod
    def of(plain: dict[str, Any], *, share: float) -> "MetricAccumulator":
        """One worker's `share` of merged numbers; those of all workers add up to 1; each has every name."""
        accumulator = MetricAccumulator()
        for kind, values in plain.items():
            mine = {name: torch.tensor(share * value, dtype=torch.float64) for name, value in values.items()}
            setattr(accumulator, f"_{kind}", mine)
        return accumulator

    def described(self) -> str:
        """The mean of the hard-label term, and of every other one with its name."""
        rest = (f", {name} {self.mean(name):.4f}" for name in self._sums if name != "hard")
        return f"{self.mean('hard'):.4f}{''.join(rest)}"

    def mean(self, name: str) -> float:
        return float(self._sums[name] / self._counts[name].clamp(min=1))


def is_watched() -> bool:
    """Whether standard error is a terminal, or below the cell of a notebook."""
    stream: Any = sys.stderr
    return stream is not None and (stream.isatty() or type(stream).__module__.startswith("ipykernel."))


class Progress:
    """Shows how many rows are done: a bar in notebooks and on terminals, elsewhere a log line every few seconds.

    Args:
        title: Of the work, such as `kd: epoch 1/3`.
        is_logging: Whether this worker shows it.
    """

    def __init__(self, title: str, rows: int, *, is_logging: bool = True) -> None:
        self._title, self._rows, self._is_logging = title, rows, is_logging
        self._done = 0
        self._start = self._last = time.perf_counter()
        self._bar: Any = None
        if is_logging and is_watched():
            from tqdm.auto import tqdm

            self._bar = tqdm(total=rows, desc=title, unit=" rows", leave=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, rows: int, note: Callable[[], str] = str) -> None:
        """Some more rows are done; `note` is called only when its text is shown."""
        self._done += rows
        if self._bar is not None:
            self._bar.update(rows)
        now = time.perf_counter()
        if not self._is_logging or now - self._last < (EVERY_SECONDS if self._bar is None else BAR_SECONDS):
            return
        self._last, text = now, note()
        if self._bar is not None:
            self._bar.set_postfix_str(text)
            return
        rate, rest = self._done / (now - self._start), f", {text}" if text else ""
        log.info("%s, %d of %d rows, %.0f rows/s%s", self._title, self._done, self._rows, rate, rest)
