"""Confirmation: settings trained on several seeds, as named Ray tasks; what is in the store is not trained again."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions

from kdray.config import RunConfig
from kdray.engines.ray.failures import described, from_worker
from kdray.experiments.students import Shared, distill_one, sendable
from kdray.stages import no_kd_baseline
from kdray.stages.train_stage import result_of

log = logging.getLogger(__name__)
BASELINE = "no-KD baseline"


@dataclass(frozen=True)
class Candidate:
    """Attributes:
    label: As the table shows it.
    note: What a reader must know of it.
    """

    label: str
    run: RunConfig
    note: str | None = None


def no_kd_candidate(run: RunConfig) -> Candidate:
    """The baseline of every table."""
    return Candidate(
        BASELINE, no_kd_baseline(run), "the same layers of the encoder, whole texts, hard labels, no teacher at all"
    )


def confirm(
    candidates: Sequence[Candidate], seeds: Sequence[int], shared: Shared, *, cpus: int, gpus: float
) -> dict[str, list[dict[str, Any]]]:
    """Every candidate on every seed: label to one result document a seed, in the order of the seeds."""
    alike: dict[str, list[Candidate]] = {}  # the winner may well be one of the others: its students are trained once
    for candidate in candidates:
        alike.setdefault(candidate.run.model_dump_json(), []).append(candidate)
    waiting = {
        _task(same[0], seed, shared, cpus=cpus, gpus=gpus): (same, seed) for seed in seeds for same in alike.values()
    }
    total, found = len(waiting), dict[tuple[str, int], dict[str, Any]]()
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        same, seed = waiting.pop(ready)
        result = _result(ready, f"distill {same[0].label}, seed {seed}")
        found |= {(candidate.label, seed): result for candidate in same}
        metric = result["metric"]
        log.info(
            "confirm %d of %d: %s, seed %d: test %s %.4f",
            total - len(waiting),
            total,
            " = ".join(candidate.label for candidate in same),
            seed,
            metric,
            result["metrics"]["test"][metric],
        )
    return {c.label: [found[c.label, seed] for seed in seeds] for c in candidates}


def _result(ready: Any, title: str) -> dict[str, Any]:
    try:
        return ray.get(ready)
    except ray.exceptions.RayError as error:
        raise from_worker(error, title)  # noqa: B904


def _task(candidate: Candidate, seed: int, shared: Shared, *, cpus: int, gpus: float) -> Any:
    run = candidate.run
    seeded = run.model_copy(update={"train": run.train.model_copy(update={"seed": seed})})
    name = f"distill {shared.corpus.name}/{run.method.label} seed {seed}, {candidate.label}"
    remote = _distill.options(name=name, num_cpus=cpus, num_gpus=gpus)
    return remote.remote(sendable(seeded), shared)


@ray.remote(max_retries=3)
def _distill(plain: dict[str, Any], shared: Shared) -> Mapping[str, Any]:
    with described():
        return result_of(distill_one(plain, shared, lambda epoch: None))
