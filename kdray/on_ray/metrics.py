"""kdray's numbers as Ray metrics: every node's metrics port shows them to Prometheus as `ray_kdray_<name>`."""

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from kdray import log, meters
from kdray.meters import METERS

PREFIX = "kdray_"


class RayMetrics:
    """A sink that makes each metric when it is first needed."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}

    def count(self, name: str, amount: float, tags: Mapping[str, str]) -> None:
        if name not in self._counters:
            self._counters[name] = Counter(PREFIX + name, METERS[name].description, METERS[name].tags)
        self._counters[name].inc(amount, dict(tags))

    def show(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        if name not in self._gauges:
            self._gauges[name] = Gauge(PREFIX + name, METERS[name].description, METERS[name].tags)
        self._gauges[name].set(value, dict(tags))


def set_up() -> None:
    """What every process of a run does first: its lines go to standard error, its numbers to Ray."""
    log.configure()
    meters.install(RayMetrics())
