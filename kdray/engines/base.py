"""Where work runs: what every engine can do."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

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

    def run_many(
        self,
        jobs: Sequence[Any],
        function: Callable[[Any], Any],
        *,
        titles: Sequence[str],
        cpus: int,
        gpus: float,
        store: str | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Call `function` with each job; results come in any order, with the numbers of their jobs.

        Args:
            jobs: Anything that can be pickled.
            function: Of a module, so that another process can import it.
            titles: One for each job, for messages.
            cpus: Processors of one job, and its threads.
            gpus: GPUs of one job, may be a fraction.
            store: Where jobs write, a folder or a bucket that every node must reach.

        Raises:
            KdrayError: A job failed.
        """
        ...


def tags_of(title: str) -> dict[str, str]:
    """What the numbers of a map bear, wherever its parts are worked on."""
    return metrics.current() | {"stage": title.partition(" ")[0]}
