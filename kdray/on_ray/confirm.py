"""Confirmation: settings trained on several seeds, as named Ray tasks; what is in the store is not trained again."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions

from kdray.config import RunConfig
from kdray.on_ray.failures import described, from_worker
from kdray.on_ray.trial import Shared, distil_one, sendable
from kdray.stages import alone
from kdray.stages.fitting import result_of

log = logging.getLogger(__name__)
ALONE = "student alone"


@dataclass(frozen=True)
class Contender:
    """Attributes:
    label: As the table shows it.
    note: What a reader must know of it.
    """

    label: str
    run: RunConfig
    note: str | None = None


def student_alone(run: RunConfig) -> Contender:
    """The baseline of every table."""
    return Contender(ALONE, alone(run), "the same layers of the encoder, whole texts, hard labels, no teacher at all")


def confirm(
    contenders: Sequence[Contender], seeds: Sequence[int], shared: Shared, *, cpus: int, gpus: float
) -> dict[str, list[dict[str, Any]]]:
    """Every contender on every seed: label to one result document a seed, in the order of the seeds."""
    alike: dict[str, list[Contender]] = {}  # the winner may well be one of the others: its students are trained once
    for contender in contenders:
        alike.setdefault(contender.run.model_dump_json(), []).append(contender)
    waiting = {
        _task(same[0], seed, shared, cpus=cpus, gpus=gpus): (same, seed) for seed in seeds for same in alike.values()
    }
    total, found = len(waiting), dict[tuple[str, int], dict[str, Any]]()
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        same, seed = waiting.pop(ready)
        result = _result(ready, f"distil {same[0].label}, seed {seed}")
        found |= {(contender.label, seed): result for contender in same}
        metric = result["metric"]
        log.info(
            "confirm %d of %d: %s, seed %d: report %s %.4f",
            total - len(waiting),
            total,
            " = ".join(contender.label for contender in same),
            seed,
            metric,
            result["metrics"]["report"][metric],
        )
    return {c.label: [found[c.label, seed] for seed in seeds] for c in contenders}


def _result(ready: Any, title: str) -> dict[str, Any]:
    try:
        return ray.get(ready)
    except ray.exceptions.RayError as error:
        raise from_worker(error, title)  # noqa: B904


def _task(contender: Contender, seed: int, shared: Shared, *, cpus: int, gpus: float) -> Any:
    run = contender.run
    seeded = run.model_copy(update={"train": run.train.model_copy(update={"seed": seed})})
    name = f"distil {shared.corpus.name}/{run.method.label} seed {seed}, {contender.label}"
    remote = _distil.options(name=name, num_cpus=cpus, num_gpus=gpus)
    return remote.remote(sendable(seeded), shared)


@ray.remote(max_retries=3)
def _distil(plain: dict[str, Any], shared: Shared) -> Mapping[str, Any]:
    with described():
        return result_of(distil_one(plain, shared, lambda epoch: None))
