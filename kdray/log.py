"""Logging: one line when a stage starts, one when it ends. Results never go through a log."""

import logging
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

FORMAT = "%(asctime)s %(message)s"
LOADED = time.perf_counter()  # a command loads this module first


def configure(level: str = "INFO") -> None:
    """Send kdray's own messages to standard error, and silence the libraries below warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT, datefmt="%H:%M:%S"))
    root = logging.getLogger("kdray")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(level)


def is_verbose() -> bool:
    """Whether details are logged, and what other libraries write is shown."""
    return logging.getLogger("kdray").isEnabledFor(logging.DEBUG)


class Stopwatch:
    """Seconds since the start, readable while it runs and after it stopped."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._end: float | None = None

    @property
    def seconds(self) -> float:
        return (self._end or time.perf_counter()) - self._start

    def stop(self) -> None:
        self._end = time.perf_counter()


@contextmanager
def stopwatch() -> Generator[Stopwatch]:
    watch = Stopwatch()
    try:
        yield watch
    finally:
        watch.stop()


def seconds_so_far() -> float:
    """Of this process, since it loaded kdray."""
    return time.perf_counter() - LOADED
