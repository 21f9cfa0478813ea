"""The engine on Ray: trainings by Ray Train, maps by Ray Data."""

import logging
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import ray
import ray.exceptions
import ray.train
from ray.train.torch import TorchTrainer
from ray.train.v2._internal import util as train_util
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution import context as train_context
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy, FailureDecision
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.worker import RayTrainWorker
from ray.train.v2.api import data_parallel_trainer
from ray.train.v2.api.exceptions import TrainingFailedError

from kdray.arrow_io import TableMap
from kdray.config import WorkSettings
from kdray.distillation import FitSpec, run_job
from kdray.engines.base import tags_of
from kdray.engines.local import threads_of
from kdray.engines.ray.collectives import PrivateTorchConfig
from kdray.engines.ray.failures import can_help, described, from_worker
from kdray.engines.ray.maps import map_tables
from kdray.engines.ray.resources import capacity, describe_nodes, max_cpus_per_process
from kdray.engines.ray.session import has_dashboard, living_nodes
from kdray.errors import ConfigError
from kdray.store import Store
from kdray.train import GroupRanks, SingleRank

COLLECTIVE_TIMEOUT_SECONDS = 600


class _Trainer(TorchTrainer):
    """Its actors bear the training's name. Ctrl-C ends the command as elsewhere; Ray's own handler would end the
    process without a word, and stay."""

    named = "train"

    def _register_sigint_handler(self, controller: Any) -> None:
        del controller

    def _create_default_callbacks(self) -> list[Any]:
        """Without a dashboard of its own, Ray's cleaner would send the token to whatever program has port 8265."""
        found: list[Any] = super()._create_default_callbacks()
        if has_dashboard():
            return found
        return [each for each in found if not isinstance(each, PlacementGroupCleanerCallback)]

    def _initialize_and_run_controller(self, **given: Any) -> Any:
        """Ray has no setting for what is retried, nor for the names of these actors: those of their classes."""
        given["failure_policy"] = _RetryLostWorkers(self.run_config.failure_config or ray.train.FailureConfig())
        with patch.object(data_parallel_trainer, "TrainController", _controller(self.named)):
            return super()._initialize_and_run_controller(**given)


class _RetryLostWorkers(DefaultFailurePolicy):
    """Ray retries every failure; an exception of the worker's own code would only come again."""

    def make_decision(self, training_failed_error: TrainingFailedError) -> FailureDecision:
        failures = getattr(training_failed_error, "worker_failures", {})
        if failures and not can_help(failures.values()):
            return FailureDecision.RAISE
        return super().make_decision(training_failed_error)


def _controller(name: str) -> type[TrainController]:
    worker = type(f"{name}_worker", (RayTrainWorker,), {})
    group = type("Group", (WorkerGroup,), {"_worker_cls": worker})
    return type(name, (TrainController,), {"worker_group_cls": group})


@dataclass(frozen=True)
class OnRay:
    """Runs every training as a Ray Train group and every map as a Ray Data job with a pool of actors."""

    work: WorkSettings

    def fit(self, spec: FitSpec) -> None:
        cpus, gpus = self.per_worker()
        trainer = _Trainer(
            _train_worker,
            train_loop_config=spec.message(),
            torch_config=PrivateTorchConfig(timeout_s=COLLECTIVE_TIMEOUT_SECONDS),
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
        trainer.named = _slug(spec.title)
        try:
            trainer.fit()
        except Exception as error:
            raise from_worker(error, spec.title)  # noqa: B904 - its cause is the traceback of the worker

    @property
    def training_workers(self) -> int:
        return self.work.workers

    @property
    def threads(self) -> int:
        """All processors, where this is the only machine and has no GPU; none if actors were asked for."""
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
        self, jobs: Sequence[Any], function: Callable[[Any], Any], *, titles: Sequence[str], cpus: int, gpus: float
    ) -> Iterator[tuple[int, Any]]:
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
    # the loop says itself how each epoch went; this logger bears its file's name, so that no level of ray.train holds
    logging.getLogger(train_context.__file__).setLevel(logging.WARNING)
    logging.getLogger(train_util.__name__).setLevel(logging.CRITICAL)  # the driver shows the error of the loop
    context = ray.train.get_context()

    def report(epoch: dict[str, Any]) -> None:
        ray.train.report({"epoch": epoch["epoch"], "score": epoch["score"], "loss": epoch["loss"]})

    with described():
        ranks = GroupRanks() if context.get_world_size() > 1 else SingleRank()
        run_job(FitSpec.of_message(config), ranks=ranks, report=report)


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_")
