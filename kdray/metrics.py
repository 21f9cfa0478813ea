"""Numbers that a run counts and shows while it works, under fixed names, for dashboards.

Code calls `count` or `show`; nothing happens until a process has a sink (`kdray.engines.ray.metrics` installs Ray's).
Tags describe a number; most of them hold for a whole piece of work: `with tagged(task="rte"): ...`.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol

_WORK = ("stage", "task", "method", "trial")


@dataclass(frozen=True)
class MetricSpec:
    """Attributes:
    kind: A `counter` only grows; a `gauge` has its last value.
    tags: They distinguish its series; a tag that was not given is empty.
    """

    kind: Literal["counter", "gauge"]
    description: str
    tags: tuple[str, ...]


METRIC_SPECS = {
    "rows": MetricSpec("counter", "Rows that a stage has worked on; its rate is rows per second.", _WORK),
    "teacher_passes": MetricSpec("counter", "Rows that a teacher or an embedder was run on.", _WORK),
    "artifacts": MetricSpec("counter", "Artifacts of a command, by result: made or reused.", ("stage", "result")),
    "loss": MetricSpec("gauge", "Mean of a loss term over the last epoch.", (*_WORK, "term")),
    "score": MetricSpec("gauge", "The task's metric on the validation split after the last epoch.", _WORK),
    "trials": MetricSpec("gauge", "Trials of a sweep, by state.", ("sweep", "state")),
    "gpu_memory_bytes": MetricSpec("gauge", "Most GPU memory that a training has held.", _WORK),
}


class Sink(Protocol):
    """Where numbers go. Each call carries every tag of its metric."""

    def count(self, name: str, amount: float, tags: Mapping[str, str]) -> None: ...

    def show(self, name: str, value: float, tags: Mapping[str, str]) -> None: ...


_sink: Sink | None = None
_tags: ContextVar[Mapping[str, str]] = ContextVar("tags", default={})  # noqa: B039 - never changed in place


def install(sink: Sink | None) -> None:
    """Send the numbers of this process to `sink` from now on; None stops it."""
    global _sink
    _sink = sink


@contextmanager
def tagged(**tags: str) -> Generator[None]:
    """Add tags to every number inside the block, to those of the blocks around it."""
    token = _tags.set({**_tags.get(), **tags})
    try:
        yield
    finally:
        _tags.reset(token)


def current() -> dict[str, str]:
    """The present tags, for work that continues in another thread or process."""
    return dict(_tags.get())


@contextmanager
def working_on(rows: int, **tags: str) -> Generator[None]:
    """Count rows; what is counted inside the block has the same tags."""
    with tagged(**tags):
        count("rows", rows)
        yield


def count(name: str, amount: float = 1.0, **tags: str) -> None:
    """Add to a counter."""
    if _sink is not None and amount:
        _sink.count(name, amount, _registered(name, tags))


def show(name: str, value: float, **tags: str) -> None:
    """Set a gauge."""
    if _sink is not None:
        _sink.show(name, value, _registered(name, tags))


def _registered(name: str, tags: Mapping[str, str]) -> dict[str, str]:
    given = {**_tags.get(), **tags}
    return {tag: given.get(tag, "") for tag in METRIC_SPECS[name].tags}
