"""The engine on Ray: trainings by Ray Train, maps by Ray Data."""

import logging
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.exceptions
import ray.train

from kdray import compat
from kdray.arrow_io import TableMap
from kdray.config import WorkSettings
from kdray.distillation import FitSpec, run_job
from kdray.engines.base import tags_of
from kdray.engines.local import threads_of
from kdray.engines.ray.failures import can_help, described, from_worker
from kdray.engines.ray.maps import map_tables
from kdray.engines.ray.resources import busy, capacity, describe_nodes, max_cpus_per_process
from kdray.engines.ray.session import living_nodes
from kdray.engines.ray.sharing import check_shared
from kdray.errors import ConfigError
from kdray.store import Store
from kdray.train import GroupRanks, SingleRank

log = logging.getLogger(__name__)

COLLECTIVE_TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class OnRay:
    """Runs every training as a Ray Train group and every map as a Ray Data job with a pool of actors."""

    work: WorkSettings

    def fit(self, spec: FitSpec) -> None:
        cpus, gpus = self.per_worker()
        check_shared(Store(spec.store))
        if missing := busy(self.work.workers, cpus, gpus):
            log.info("%s: waits for %s", spec.title, missing)
        trainer = compat.trainer_class(_slug(spec.title), can_help)(
            _train_worker,
            train_loop_config=spec.message(),
            torch_config=compat.torch_config(timeout_s=COLLECTIVE_TIMEOUT_SECONDS),
            scaling_config=ray.train.ScalingConfig(
                num_workers=self.work.workers, use_gpu=gpus > 0, resources_per_worker={"CPU": cpus, "GPU": gpus}
            ),
            run_config=ray.train.RunConfig(
                name=f"{_slug(spec.title)}-{uuid.uuid4().hex[:6]}",
                storage_path=Store(spec.store).uri_of("ray"),
                logging_config=ray.train.LoggingConfig(log_level="ERROR"),
                failure_config=ray.train.FailureConfig(max_failures=self.work.retries),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            raise from_worker(error, spec.title)  # noqa: B904 - its cause is the traceback of the worker

    @property
    def training_workers(self) -> int:
        return self.work.workers

    @property
    def threads(self) -> int:
        """All processors, where this is the only machine and has no GPU; none if the number of actors is set."""
        have = ray.cluster_resources()
        alone = living_nodes() == 1 and not have.get("GPU", 0) and not self.work.actors
        return int(have.get("CPU", 1)) if alone else 0

    def map(
        self, parts: Sequence[pa.Table], factory: Callable[[], TableMap], *, title: str
    ) -> Iterator[tuple[int, pa.Table]]:
        if not parts:
            return
        actors, cpus, gpus = self.pool()
        try:
            yield from map_tables(
                parts,
                factory,
                name=_slug(title),
                tags=tags_of(title),
                actors=actors,
                cpus=cpus,
                gpus=gpus,
                block_rows=self.work.block_rows,
                retries=self.work.retries,
            )
        except ray.exceptions.RayError as error:
            raise from_worker(error, title)  # noqa: B904

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
        if store is not None:
            check_shared(Store(store))
        if jobs and (missing := busy(1, cpus, gpus)):
            log.info("%s: waits for %s", titles[0], missing)
        waiting = {
            _call.options(name=title, num_cpus=cpus, num_gpus=gpus).remote(function, job): number
            for number, (job, title) in enumerate(zip(jobs, titles, strict=True))
        }
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            number = waiting.pop(ready)
            yield number, _result(ready, titles[number])

    def per_worker(self) -> tuple[float, float]:
        """CPUs and GPUs of a training worker, refused if the cluster can never give them."""
        have = ray.cluster_resources()
        gpus = self.work.gpus if self.work.gpus is not None else float(have.get("GPU", 0) >= self.work.workers)
        workers = self.work.workers
        cpus = self.work.cpus or max_cpus_per_process(workers, gpus)
        if capacity(cpus, gpus) < workers:
            raise ConfigError(
                f"work.workers = {workers} with {cpus:g} CPUs and {gpus:g} GPUs each do not fit, {describe_nodes()}; "
                "lower work.workers, work.cpus or work.gpus."
            )
        return cpus, gpus

    def pool(self) -> tuple[int, float, float]:
        """Actors, and CPUs and GPUs of each: a GPU each if there are any, else half a CPU (a whole one hangs)."""
        have = ray.cluster_resources()
        if have.get("GPU", 0):
            return self.work.actors or int(have["GPU"]), 0.5, 1.0
        return self.work.actors or max(1, int(have.get("CPU", 1))), 0.5, 0.0


@ray.remote(max_retries=3)
def _call(function: Callable[[Any], Any], job: Any) -> Any:
    with described(), threads_of(int(os.environ.get("OMP_NUM_THREADS", "1"))):
        return function(job)


def _result(ready: Any, title: str) -> Any:
    try:
        return ray.get(ready)
    except ray.exceptions.RayError as error:
        raise from_worker(error, title)  # noqa: B904 - its cause is the traceback of the worker


def _train_worker(config: dict[str, Any]) -> None:
    compat.silence_train_worker()
    context = ray.train.get_context()

    def report(epoch: dict[str, Any]) -> None:
        ray.train.report({"epoch": epoch["epoch"], "score": epoch["score"], "loss": epoch["loss"]})

    with described():
        ranks = GroupRanks() if context.get_world_size() > 1 else SingleRank()
        run_job(FitSpec.of_message(config), ranks=ranks, report=report)


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_")
