"""What the living nodes can take: a process has to fit on one of them, not on their sum."""

import time
from collections import Counter

import ray

EPSILON = 1e-9


def capacity(cpus: float, gpus: float) -> int:
    """How many processes of this size all nodes together run at once, by what they have and not by what is free."""
    return sum(_on_one(node, cpus, gpus) for node in _nodes())


def max_cpus_per_process(processes: int, gpus: float) -> int:
    """The most CPUs that each of so many processes can have at once; at least 1, also where they do not fit."""
    largest = max((int(node.get("CPU", 0)) for node in _nodes()), default=1)
    return next((cpus for cpus in range(largest, 1, -1) if capacity(cpus, gpus) >= processes), 1)


def busy(processes: int, cpus: float, gpus: float, *, seconds: float = 5.0) -> str | None:
    """What so many processes have to wait for, such as "2 CPUs (0 of 8 are free)"; None once it is free.

    Args:
        seconds: How long to look, because Ray gives back what has ended a moment later.
    """
    end = time.monotonic() + seconds
    while (missing := _missing(processes, cpus, gpus)) and time.monotonic() < end:
        time.sleep(0.2)
    return missing


def _missing(processes: int, cpus: float, gpus: float) -> str | None:
    free, have = ray.available_resources(), ray.cluster_resources()
    for name, wanted in (("CPU", processes * cpus), ("GPU", processes * gpus)):
        if free.get(name, 0.0) + EPSILON < wanted:
            return f"{_of(f'{wanted:g}', name)} ({free.get(name, 0.0):g} of {have.get(name, 0.0):g} are free)"
    return None


def describe_nodes() -> str:
    """The nodes for a message, such as "there are 2 nodes of 8 CPUs and 1 GPU"."""
    shapes = Counter((f"{node.get('CPU', 0):g}", f"{node.get('GPU', 0):g}") for node in _nodes())
    kinds = [
        f"{_of(count, 'node')} of {_of(cpus, 'CPU')} and {_of(gpus, 'GPU')}" for (cpus, gpus), count in shapes.items()
    ]
    return f"there {'is' if shapes.total() == 1 else 'are'} {', '.join(kinds)}"


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _on_one(node: dict[str, float], cpus: float, gpus: float) -> int:
    fits: list[float] = []
    if cpus:
        fits.append((node.get("CPU", 0.0) + EPSILON) // cpus)
    if gpus:  # a fraction is one of a single GPU
        have = node.get("GPU", 0.0) + EPSILON
        fits.append(have // 1 * ((1 + EPSILON) // gpus) if gpus < 1 else have // gpus)
    return int(min(fits, default=0))


def _of(count: str | int, name: str) -> str:
    return f"{count} {name}{'' if str(count) == '1' else 's'}"
