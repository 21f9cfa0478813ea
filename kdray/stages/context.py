"""What a stage is given: the store, where its work runs, and a journal of what was made and what was there."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import torch

from kdray import metrics
from kdray.arrow_io import TableMap
from kdray.distillation import FitSpec, run_job
from kdray.log import stopwatch
from kdray.store import Artifact, Draft, Store
from kdray.train import SingleRank

log = logging.getLogger(__name__)


class Engine(Protocol):
    """Where work runs. Nothing that an engine decides may change a result, but for the number of training workers.

    Attributes:
        threads: How many threads here are as good as its workers, once these have started; 0: none.
        training_workers: Workers that share each training. Each draws dropout of its own, so their number is in the
            digest of what is trained.
    """

    @property
    def threads(self) -> int: ...

    @property
    def training_workers(self) -> int: ...

    def fit(self, spec: FitSpec) -> None:
        """Run one training; its result is in the work folder afterwards."""
        ...

    def map(
        self, parts: Sequence[pa.Table], factory: Callable[[], TableMap], *, title: str
    ) -> Iterator[tuple[int, pa.Table]]:
        """Apply `factory()` to each part as a whole; results come in any order, with the numbers of their parts."""
        ...


def tags_of(title: str) -> dict[str, str]:
    """What the numbers of a map bear, wherever its parts are worked on."""
    return metrics.current() | {"stage": title.partition(" ")[0]}


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
        report: Told about every finished epoch of a training.
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

        threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(self.threads) as pool:
                yield from enumerate(pool.map(apply, parts))
        finally:
            torch.set_num_threads(threads)  # torch hands what a thread sets on to threads that have asked nothing yet


@dataclass(frozen=True)
class Context:
    """Attributes:
    journal: One record for every different artifact asked for: stage, name, digest, seconds, reused, summary.
    is_trial: Of many trials over the same artifacts each keeps quiet about what was there.
    """

    store: Store
    engine: Engine
    data_dir: Path | None
    journal: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    is_trial: bool = False

    def make(
        self,
        stage: str,
        name: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        build: Callable[[Draft], Mapping[str, Any]],
    ) -> Artifact:
        """`Store.make` with a line when it starts, a line when it ends, and an entry in the journal."""
        with stopwatch() as watch:
            artifact, reused = self.store.make(
                stage, name, settings=settings, inputs=inputs, build=lambda draft: _announced(stage, name, build, draft)
            )
        if any(artifact.digest == entry["digest"] for entry in self.journal):
            return artifact  # asked for before in this command, and told then
        metrics.count("artifacts", stage=stage, result="reused" if reused else "made")
        line = _line(artifact.summary)
        if reused:
            level = logging.DEBUG if self.is_trial else logging.INFO
            log.log(level, "%s %s: reused %s (%s)", stage, name, artifact.where, line)
        else:
            log.info("%s %s: made %s in %.1f s (%s)", stage, name, artifact.where, watch.seconds, line)
        self.journal.append(
            {
                "stage": stage,
                "name": name,
                "digest": artifact.digest,
                "seconds": artifact.manifest["seconds"],
                "reused": reused,
                "summary": line,
            }
        )
        return artifact


def _line(summary: Mapping[str, Any]) -> str:
    if "shown" in summary:
        return str(summary["shown"])
    return ", ".join(f"{key} {value}" for key, value in summary.items() if isinstance(value, str | int))


def _announced(stage: str, name: str, build: Callable[[Draft], Mapping[str, Any]], draft: Draft) -> Mapping[str, Any]:
    log.info("%s %s: starts", stage, name)
    return build(draft)
