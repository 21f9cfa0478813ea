"""Where the work runs: `Local()` in this process, `Ray()` in a local Ray session or on a cluster."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from kdray.config import WorkSettings
from kdray.engines.base import Engine
from kdray.engines.local import InProcess


class EngineChoice(Protocol):
    """A choice of engine; `start` yields the running engine and stops what it started."""

    def start(self) -> AbstractContextManager[Engine]: ...


@dataclass(frozen=True)
class Local:
    """Everything in this process, one training after the other. No Ray process is started.

    >>> Local()
    Local()
    """

    @contextmanager
    def start(self) -> Generator[Engine]:
        yield InProcess()


@dataclass(frozen=True)
class Ray:
    """Trainings by Ray Train and maps by Ray Data, in a session that starts with the first work.

    Attributes:
        address: HOST:PORT of a cluster's head, or `auto` for the cluster of this machine; None starts a local session.
        work: Workers of one training, and the resources of each.

    >>> Ray(address="auto").address
    'auto'
    """

    address: str | None = None
    work: WorkSettings = field(default_factory=WorkSettings)

    @contextmanager
    def start(self) -> Generator[Engine]:
        from kdray.engines.ray.lazy import on_demand

        with on_demand(self.work, self.address) as engine:
            yield engine
