"""Errors of workers: how they reach the driver, and whether another attempt can help."""

import sys
import traceback
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from ray.exceptions import RayTaskError

from kdray.errors import KdrayError, RunError


class WorkerFailed(RunError):
    """An unexpected exception of a worker, as text: its own class may not survive the way to the driver.

    Args:
        sentence: Type and text of the exception.
        trace: Its traceback.
    """

    def __init__(self, sentence: str, trace: str) -> None:
        super().__init__(sentence, trace)
        self.trace = trace

    def __str__(self) -> str:
        return self.args[0]


class PeerLost(WorkerFailed):
    """The connection to another worker of the same training broke, which happens when that worker is lost."""


class MapFailed(Exception):
    """What a map raised, as its first argument. Ray Data adds a hint to the text of an error, and its own wrapper loses
    the error."""


class WorkerTraceback(Exception):
    """The traceback of a worker, for `--debug`."""


@contextmanager
def described() -> Generator[None]:
    """On a worker: an exception that is not one of kdray's own leaves as a `WorkerFailed`.

    Raises:
        KdrayError: Of every exception of the block.
    """
    try:
        yield
    except KdrayError:
        raise
    except Exception as error:
        kind = PeerLost if _is_broken_connection(error) else WorkerFailed
        raise kind(_sentence(error), traceback.format_exc()) from None


def can_help(failures: Iterable[BaseException]) -> bool:
    """Whether another attempt can help: after lost workers, but not after errors of their code or of the input."""
    found = list(failures)
    if any(not isinstance(failure, KdrayError) for failure in found):  # Ray's own errors: of workers that are gone
        return True
    return all(isinstance(failure, PeerLost) for failure in found)


def from_worker(error: BaseException, title: str) -> KdrayError:
    """What to raise on the driver: the error of kdray under Ray's wrapping if there is one, else the text of Ray.

    Args:
        title: Of the work, for a message.
    """
    found = _own(error)
    if isinstance(found, WorkerFailed):
        shown = RunError(f"{title} failed on its worker: {found}")
        shown.__cause__ = WorkerTraceback(f"\n{found.trace}")
        return shown
    return found or RunError(f"{title} failed on its worker: {str(error).strip().splitlines()[-1]}")


def _own(error: BaseException | None) -> KdrayError | None:
    """The error of kdray under the wrapping; that of a worker itself before that of one which lost its peer."""
    if error is None:
        return None
    if isinstance(error, RayTaskError):  # it has the class of its cause too, but its text is a traceback
        inner: list[BaseException | None] = [error.cause, error.__cause__]
    elif isinstance(error, KdrayError):
        return error
    elif isinstance(error, MapFailed):
        inner = [error.args[0]]
    else:
        failures = (getattr(error, "worker_failures", None) or {}).values()
        inner = [*sorted(failures, key=lambda each: isinstance(each, PeerLost)), error.__cause__]
    return next(filter(None, map(_own, inner)), None)


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _is_broken_connection(error: Exception) -> bool:
    distributed = sys.modules.get("torch.distributed")
    if isinstance(error, ConnectionError) or (distributed is not None and isinstance(error, distributed.DistError)):
        return True
    return isinstance(error, RuntimeError) and "gloo/transport" in str(error)
