"""Engines of this process, without Ray."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from kdray import metrics
from kdray.arrow_io import TableMap
from kdray.distillation import FitSpec, run_job
from kdray.engines.base import tags_of
from kdray.train import SingleRank

log = logging.getLogger(__name__)


@contextmanager
def threads_of(cpus: int) -> Generator[None]:
    """Torch's operators use `cpus` threads of this process, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(cpus)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _counted(apply: TableMap, tags: Mapping[str, str]) -> TableMap:
    def counted(part: pa.Table) -> pa.Table:
        with metrics.working_on(len(part), **tags):
            return apply(part)

    return counted


def _ignore(epoch: Mapping[str, Any]) -> None:
    del epoch


@dataclass(frozen=True)
class InProcess:
    """Everything in this process, one after the other.

    Attributes:
        report: Called after every epoch of a training.
    """

    report: Callable[[dict[str, Any]], None] = _ignore
    threads: int = 0

    @property
    def training_workers(self) -> int:
        return 1

    def fit(self, spec: FitSpec) -> None:
        run_job(spec, ranks=SingleRank(), report=self.report)

    def map(
        self, parts: Sequence[pa.Table], factory: Callable[[], TableMap], *, title: str
    ) -> Iterator[tuple[int, pa.Table]]:
        if parts:
            yield from enumerate(map(_counted(factory(), tags_of(title)), parts))

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
        """One after the other, each with `cpus` threads, as a process of Ray has; `gpus` and `store` have no effect."""
        del gpus, store
        for number, (job, title) in enumerate(zip(jobs, titles, strict=True)):
            log.info("%s (%d of %d)", title, number + 1, len(jobs))  # on Ray, the title is in front of every line
            with threads_of(cpus):
                result = function(job)
            yield number, result


@dataclass(frozen=True)
class InThreads(InProcess):
    """Maps in threads of this process, each with a map and a processor of its own; numbers are those of one thread."""

    def map(
        self, parts: Sequence[pa.Table], factory: Callable[[], TableMap], *, title: str
    ) -> Iterator[tuple[int, pa.Table]]:
        own, tags = threading.local(), tags_of(title)

        def apply(part: pa.Table) -> pa.Table:
            if not hasattr(own, "map"):
                torch.set_num_threads(1)  # of the operators that this thread calls
                own.map = _counted(factory(), tags)
            return own.map(part)

        # a thread of torch takes over the setting of the thread that started it, until its first use
        with threads_of(torch.get_num_threads()), ThreadPoolExecutor(self.threads) as pool:
            yield from enumerate(pool.map(apply, parts))
