"""The engine on Ray: trainings by Ray Train, maps by Ray Data."""

import logging
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.execution import context as train_context

from kdray import meters
from kdray.config import WorkSettings
from kdray.distil import FitSpec, run_fit
from kdray.errors import BadInput, KdrayError, RunFailed
from kdray.on_ray.session import living_nodes
from kdray.stages.context import TableMap
from kdray.train import GroupRanks, SingleRank

BLOCK_ROWS = 512
COLLECTIVE_TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class OnRay:
    """Runs every training as a Ray Train group and every map as a Ray Data job with a pool of actors."""

    work: WorkSettings

    def fit(self, spec: FitSpec) -> None:
        cpus, gpus = self._per_worker()
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={"spec": spec.model_dump(mode="json")},
            torch_config=TorchConfig(timeout_s=COLLECTIVE_TIMEOUT_SECONDS),
            scaling_config=ray.train.ScalingConfig(
                num_workers=self.work.workers, use_gpu=gpus > 0, resources_per_worker={"CPU": cpus, "GPU": gpus}
            ),
            run_config=ray.train.RunConfig(
                name=f"{_slug(spec.title)}-{uuid.uuid4().hex[:6]}",
                storage_path=_ray_storage(spec.store),
                logging_config=ray.train.LoggingConfig(log_level="ERROR"),
                failure_config=ray.train.FailureConfig(max_failures=self.work.retries),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:
            raise _ours(error, spec.title) from error

    def map(self, table: pa.Table, factory: Callable[[], TableMap], *, title: str) -> Iterator[pa.Table]:
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # importing ray.data had set it back
        ray.data.DataContext.get_current().enable_progress_bars = False
        size, cpus, gpus = self._pool()
        blocks = [table.slice(start, BLOCK_ROWS) for start in range(0, len(table), BLOCK_ROWS)]
        size = max(1, min(size, len(blocks)))
        dataset = ray.data.from_arrow(blocks).map_batches(
            type(_slug(title), (_Mapper,), {}),  # the dashboard shows the class's name
            fn_constructor_kwargs={"factory": factory, "stage": title.partition(" ")[0]},
            batch_format="pyarrow",
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=size),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")  # pyright: ignore[reportReturnType]

    def _per_worker(self) -> tuple[float, float]:
        """CPUs and GPUs of a training worker, refused if the cluster can never give them."""
        have = ray.cluster_resources()
        gpus = self.work.gpus if self.work.gpus is not None else float(have.get("GPU", 0) >= self.work.workers)
        nodes = living_nodes()
        cpus = self.work.cpus or max(1, int(have.get("CPU", 1) // (nodes * -(-self.work.workers // nodes))))
        for name, each in (("CPU", cpus), ("GPU", gpus)):
            wanted = each * self.work.workers
            if wanted > have.get(name, 0):
                raise BadInput(
                    f"work.workers = {self.work.workers} with {each:g} {name}s each needs {wanted:g}, the cluster has "
                    f"{have.get(name, 0):g}; lower work.workers or work.{name.lower()}s."
                )
        return cpus, gpus

    def _pool(self) -> tuple[int, float, float]:
        """Actors, and CPUs and GPUs of each: a GPU each if there are any, else half a CPU (a whole one hangs)."""
        have = ray.cluster_resources()
        if have.get("GPU", 0):
            return self.work.actors or int(have["GPU"]), 0.5, 1.0
        return self.work.actors or max(1, int(have.get("CPU", 1))), 0.5, 0.0


class _Mapper:
    def __init__(self, factory: Callable[[], TableMap], stage: str) -> None:
        torch.set_num_threads(1)
        self._apply, self._stage = factory(), stage

    def __call__(self, batch: pa.Table) -> pa.Table:
        with meters.tagged(stage=self._stage):
            meters.count("rows", len(batch))
            return self._apply(batch)


def _train_worker(config: dict[str, Any]) -> None:
    # the loop says itself how each epoch went; this logger bears its file's name, so that no level of ray.train holds
    logging.getLogger(train_context.__file__).setLevel(logging.WARNING)
    spec = FitSpec.model_validate(config["spec"])
    context = ray.train.get_context()
    ranks = GroupRanks() if context.get_world_size() > 1 else SingleRank()

    def report(epoch: dict[str, Any]) -> None:
        ray.train.report({"epoch": epoch["epoch"], "score": epoch["score"], "loss": epoch["loss"]})

    run_fit(spec, ranks=ranks, report=report)


def _ray_storage(store: str) -> str:
    from kdray.store import Store

    opened = Store(store)
    return str(opened.local_path("ray")) if opened.is_local else f"{store.rstrip('/')}/ray"


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_")


def _ours(error: BaseException, title: str) -> KdrayError:
    """The user's sentence from under Ray's wrapping, if there is one."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, KdrayError):
            return inner
        failures = getattr(inner, "worker_failures", None) or {}
        for failure in failures.values():
            return _ours(failure, title)
        inner = inner.__cause__ or getattr(inner, "cause", None)
    return RunFailed(f"{title} failed on its worker: {str(error).strip().splitlines()[-1]}")
