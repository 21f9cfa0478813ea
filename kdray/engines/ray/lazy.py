"""An engine that starts Ray when the first work needs it: what is in the store, or small, waits for no cluster."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch

from kdray.arrow_io import TableMap
from kdray.config import WorkSettings
from kdray.distillation import FitSpec
from kdray.engines.base import Engine
from kdray.engines.ray.session import session


@contextmanager
def on_demand(
    work: WorkSettings,
    address: str | None,
    *,
    allow_network: bool = False,
    started: Callable[[Engine], None] = lambda engine: None,
) -> Generator["LazyRayEngine"]:
    """The engine; what it started is stopped at the end.

    Args:
        allow_network: As of `session`.
        started: Called with the engine on Ray, once Ray has started and before it works.
    """
    with ExitStack() as stack:
        yield LazyRayEngine(work, address, stack, started, allow_network)


@dataclass
class LazyRayEngine:
    """`OnRay` in a session that begins with the first training or map."""

    work: WorkSettings
    address: str | None
    stack: ExitStack
    started: Callable[[Engine], None]
    allow_network: bool = False
    _ray: list[Engine] = field(default_factory=list[Engine])

    @property
    def training_workers(self) -> int:
        """As `OnRay.training_workers`, without starting Ray."""
        return self.work.workers

    @property
    def threads(self) -> int:
        """All processors of this machine if there is no cluster and no GPU, as `OnRay.threads`."""
        if self._ray or self.address or self.work.actors or torch.cuda.is_available():
            return self.running().threads
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def fit(self, spec: FitSpec) -> None:
        self.running().fit(spec)

    def map(
        self, parts: Sequence[pa.Table], factory: Callable[[], TableMap], *, title: str
    ) -> Iterator[tuple[int, pa.Table]]:
        if parts:
            yield from self.running().map(parts, factory, title=title)

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
        if jobs:
            yield from self.running().run_many(jobs, function, titles=titles, cpus=cpus, gpus=gpus, store=store)

    def running(self) -> Engine:
        """`OnRay` in its session, which starts now if it has not."""
        if not self._ray:
            self.stack.enter_context(session(self.address, allow_network=self.allow_network))
            from kdray.engines.ray.engine import OnRay  # Ray reads its settings from the environment as it is imported

            self._ray.append(OnRay(self.work))
            self.started(self._ray[0])
        return self._ray[0]
