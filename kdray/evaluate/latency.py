"""How long something takes. Nothing else in kdray measures latency.

What is compared is timed in turns, warm, by one process at a time on the machine; the CPU time of other processes is
counted meanwhile, because figures of a busy machine are not to be trusted.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np

WARM_UP = 3
REPEATS = 10
OTHER_CORES = 0.15  # that other processes may use on a quiet machine
STOLEN_SHARE = 0.02  # of all cores' time, that a hypervisor may take away
LOCK = "kdray-latency.lock"


@dataclass(frozen=True)
class CpuTimes:
    """Seconds since some start.

    Attributes:
        wall: By the clock.
        busy: CPU time of all processes of the machine; None where the system does not count it.
        stolen: What a hypervisor gave to other machines.
        own: CPU time of this process and of its children that have ended.
    """

    wall: float
    busy: float | None
    stolen: float
    own: float


@dataclass(frozen=True)
class Load:
    """What else ran while something was measured.

    Attributes:
        others: Cores that other processes used, on average; None where it is not known.
        stolen: The share of all cores' time that a hypervisor took away.
    """

    others: float | None
    stolen: float = 0.0

    @property
    def is_quiet(self) -> bool:
        return self.others is not None and self.others <= OTHER_CORES and self.stolen <= STOLEN_SHARE

    @property
    def sentence(self) -> str:
        """What is wrong with it; empty where it is quiet."""
        if self.is_quiet:
            return ""
        if self.others is None:
            return "the load of this machine cannot be read, so it is not known whether the figures can be trusted."
        return (
            f"the machine was not quiet: other processes used {self.others:.2f} cores and {100 * self.stolen:.1f} % of "
            f"the time was stolen, so the figures are not to be trusted (allowed: {OTHER_CORES:g} cores, "
            f"{100 * STOLEN_SHARE:g} %); measure again when nothing else runs."
        )


def cpu_times() -> CpuTimes:
    """Of this machine and process, now; `busy` and `stolen` from /proc/stat."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return CpuTimes(time.monotonic(), None, 0.0, own)
    user, nice, system, _, _, irq, softirq, stolen = (int(each) for each in first.split()[1:9])
    tick = os.sysconf("SC_CLK_TCK")
    return CpuTimes(time.monotonic(), (user + nice + system + irq + softirq) / tick, stolen / tick, own)


def load_between(before: CpuTimes, after: CpuTimes) -> Load:
    """
    >>> load_between(CpuTimes(0, 10, 0, 1), CpuTimes(10, 25, 0, 6)).others
    1.0
    """
    seconds = max(after.wall - before.wall, 1e-9)
    stolen = (after.stolen - before.stolen) / (seconds * (os.cpu_count() or 1))
    if before.busy is None or after.busy is None:
        return Load(None, stolen)
    return Load(max(0.0, after.busy - before.busy - (after.own - before.own)) / seconds, stolen)


@contextmanager
def alone() -> Generator[None]:
    """Held by one measuring process of this machine at a time; others wait."""
    with filelock.FileLock(Path(tempfile.gettempdir()) / LOCK, mode=0o666):
        yield


def interleaved(
    works: Mapping[str, Callable[[], tuple[float, ...]]], *, seconds: float, least: int = 5, most: int = 1000
) -> dict[str, np.ndarray]:
    """Run every work in turns until `seconds` for each have passed, at least `least` and at most `most` rounds.

    Args:
        works: Each returns how long its parts took, in seconds.

    Returns:
        Seconds [rounds, parts] by name.
    """
    for work in works.values():
        for _ in range(WARM_UP):
            work()
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in works}
    end = time.perf_counter() + seconds * len(works)
    for turn in range(most):
        if turn >= least and time.perf_counter() > end:
            break
        for name, work in works.items():
            found[name].append(work())
    return {name: np.array(parts) for name, parts in found.items()}


def median_ms(work: Callable[[], object]) -> float:
    """Median milliseconds of a warm call, whatever else runs on the machine; for orientation only."""
    return 1000 * statistics.median(_seconds_of_calls(work))


def shortest_ms(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest warm call: the least disturbed one where other work runs; for orientation only."""
    return 1000 * min(_seconds_of_calls(work))


def _seconds_of_calls(work: Callable[[], object]) -> list[float]:
    seconds: list[float] = []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]
