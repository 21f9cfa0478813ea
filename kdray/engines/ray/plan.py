"""What will run where, printed before anything runs: processes, how many at once, what each takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from kdray.config import RunConfig
from kdray.engines.ray.engine import OnRay
from kdray.engines.ray.resources import capacity, describe_nodes
from kdray.engines.ray.session import living_nodes
from kdray.errors import ConfigError
from kdray.models import ModelInfo, folder_info, inference_bytes, resolve_encoder, training_bytes
from kdray.models.memory import PROCESS_BYTES
from kdray.signals import TOKEN_NEEDS
from kdray.train import TrainSettings

GB = 1e9


@dataclass(frozen=True)
class PlannedWork:
    """One kind of work.

    Attributes:
        at_once: Processes that run at the same time.
        memory: Bytes that one of them may need; an estimate (see `kdray.models.memory`).
    """

    work: str
    processes: int
    at_once: int
    cpus: float
    gpus: float
    memory: float

    def row(self) -> dict[str, Any]:
        return {
            "work": self.work,
            "processes": self.processes,
            "at once": self.at_once,
            "CPUs each": f"{self.cpus:g}",
            "GPUs each": f"{self.gpus:g}",
            "memory each": f"about {self.memory / GB:.1f} GB",
        }


@dataclass(frozen=True)
class Trials:
    """A search's or comparison's students, `each` of them with so many CPUs and GPUs."""

    what: str
    count: int
    cpus: int
    gpus: float
    confirmation: int = 0  # students on several seeds at the end, at most


def plan(run: RunConfig, engine: OnRay, trials: Trials | None = None) -> list[PlannedWork]:
    """What is not in the store yet will run like this.

    Raises:
        ConfigError: The cluster can never give what one worker or trial needs.
    """
    planned = [*_teachers(run, engine), *_inference(run, engine)]
    if trials is None:
        cpus, gpus = engine.per_worker()
        workers = run.work.workers
        return [*planned, PlannedWork("student", workers, workers, cpus, gpus, _student_bytes(run, workers))]
    memory = _student_bytes(run, 1)
    fits = fitting(trials.cpus, trials.gpus)
    counts = {trials.what: trials.count, "confirmation, at most": trials.confirmation}
    for what, count in counts.items():
        if count:
            planned.append(PlannedWork(what, count, min(count, fits), trials.cpus, trials.gpus, memory))
    return planned


def fitting(cpus: int, gpus: float) -> int:
    """How many processes of this size the cluster runs at once.

    Raises:
        ConfigError: Not even one, with what is there now.
    """
    fits = capacity(cpus, gpus)
    if not fits:
        raise ConfigError(
            f"a trial needs {cpus} CPUs and {gpus:g} GPUs on one node, {describe_nodes()}; lower --cpus-per-trial or "
            "--gpus-per-trial."
        )
    return fits


def warnings(planned: Sequence[PlannedWork]) -> list[str]:
    """One sentence for each kind of work that may not fit into a node's memory, if it is spread evenly."""
    nodes = living_nodes()
    smallest = min(node["Resources"].get("memory", float("inf")) for node in ray.nodes() if node["Alive"])
    sentences: list[str] = []
    for each in planned:
        on_one = -(-each.at_once // nodes)
        if on_one * each.memory > smallest:
            sentences.append(
                f"{each.work}: {on_one} at once on one node may need {on_one * each.memory / GB:.0f} GB, the "
                f"smallest node has {smallest / GB:.0f} GB; give each more CPUs, so that fewer run at once, or shorten "
                "train.max_length or train.batch_size."
            )
    return sentences


def _teachers(run: RunConfig, engine: OnRay) -> list[PlannedWork]:
    trained = [teacher for teacher in run.teachers if not teacher.fine_tuned and teacher.predictions is None]
    if not trained or not run.method.max_teachers:
        return []
    cpus, gpus = engine.per_worker()
    workers = run.work.workers
    each = [_training(_info(teacher.encoder), teacher.layers, teacher.train, workers) for teacher in trained]
    first = [_training(_info(t.encoder), t.layers, t.init_from.train, workers) for t in trained if t.init_from]
    memory = max([sum(each) if run.teacher_training == "joint" else max(each), *first])
    how = "together" if run.teacher_training == "joint" else "one after the other"
    work = f"{len(trained)} teachers, {how}" if len(trained) > 1 else "teacher"
    work += f", {len(first)} with an intermediate task" if first else ""
    return [PlannedWork(work, workers, workers, cpus, gpus, memory)]


def _inference(run: RunConfig, engine: OnRay) -> list[PlannedWork]:
    with_model = [teacher for teacher in run.teachers if teacher.predictions is None]
    if not with_model or not run.method.max_teachers:
        return []
    actors, cpus, gpus = engine.pool()
    memory = max(inference_bytes(_info(teacher.encoder), layers=teacher.layers) for teacher in with_model)
    return [PlannedWork("outputs, embeddings, at most", actors, actors, cpus, gpus, memory)]


def _student_bytes(run: RunConfig, workers: int) -> float:
    student = run.student
    info = student.architecture.expected(resolve_encoder(run.student_encoder).folder)
    memory = _training(info, student.depth, run.train, workers)
    if run.method.needs & TOKEN_NEEDS:  # the teachers run with the student
        for teacher in run.teachers[: run.method.max_teachers]:
            memory += inference_bytes(_info(teacher.encoder), layers=teacher.layers) - PROCESS_BYTES
    return memory


def _training(info: ModelInfo, layers: int | None, train: TrainSettings, workers: int) -> float:
    rows = -(-train.batch_size // (train.accumulate * workers))
    return training_bytes(info, layers=layers, rows=rows, tokens=train.max_length)


def _info(encoder: str) -> ModelInfo:
    return folder_info(resolve_encoder(encoder).folder)
