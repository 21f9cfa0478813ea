"""Where work runs: what every engine can do."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from kdray import metrics
from kdray.arrow_io import TableMap
from kdray.distillation import FitSpec


class Engine(Protocol):
    """Where work runs. Nothing that an engine decides may change a result, but for the number of training workers.

    Attributes:
        threads: How many threads here are as good as its workers, once these have started; 0: none.
        training_workers: Workers that share each training. Each draws dropout of its own, so their number is in the
            digest of what is trained.
    """

    @property
    def threads(self) -> int: ...

    @property
    def training_workers(self) -> int: ...

    def fit(self, spec: FitSpec) -> None:
        """Run one training; its result is in the work folder afterwards."""
        ...

    def map(
        self, parts: Sequence[pa.Table], factory: Callable[[], TableMap], *, title: str
    ) -> Iterator[tuple[int, pa.Table]]:
        """Apply `factory()` to each part as a whole; results come in any order, with the numbers of their parts."""
        ...


def tags_of(title: str) -> dict[str, str]:
    """What the numbers of a map bear, wherever its parts are worked on."""
    return metrics.current() | {"stage": title.partition(" ")[0]}
