"""Where the work runs: `Local()` in this process, `Ray()` in a local Ray session or on a cluster."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from kdray.config import WorkSettings
from kdray.engines.base import Engine
from kdray.engines.local import InProcess
from kdray.errors import check_installed


def _quietly(engine: Engine) -> None: ...


class EngineChoice(Protocol):
    """A choice of engine."""

    def start(
        self, work: WorkSettings, started: Callable[[Engine], None] = _quietly, *, at_once: bool = False
    ) -> AbstractContextManager[Engine]:
        """The running engine; what it started is stopped at the end.

        Args:
            work: The section `work` of the run, for an engine that has no other.
            started: Called with the engine before it works.
            at_once: Start all that it needs now, rather than with the first work.
        """
        ...


@dataclass(frozen=True)
class Local:
    """Everything in this process, one training after the other. No Ray process is started.

    >>> Local()
    Local()
    """

    @contextmanager
    def start(
        self, work: WorkSettings, started: Callable[[Engine], None] = _quietly, *, at_once: bool = False
    ) -> Generator[Engine]:
        del work, at_once
        engine = InProcess()
        started(engine)
        yield engine


@dataclass(frozen=True)
class Ray:
    """Trainings by Ray Train and maps by Ray Data, in a session that starts with the first work.

    Attributes:
        address: HOST:PORT of a cluster's head, or `auto` for the cluster of this machine; None starts a local session.
        work: Workers of one training, and the resources of each; None takes those of the run.
        allow_network: Start a local session also where others could use it.

    >>> Ray(address="auto").address
    'auto'
    """

    address: str | None = None
    work: WorkSettings | None = None
    allow_network: bool = False

    @contextmanager
    def start(
        self, work: WorkSettings, started: Callable[[Engine], None] = _quietly, *, at_once: bool = False
    ) -> Generator[Engine]:
        check_installed("ray")
        from kdray.engines.ray.lazy import on_demand

        with on_demand(self.work or work, self.address, allow_network=self.allow_network, started=started) as engine:
            yield engine.running() if at_once else engine
