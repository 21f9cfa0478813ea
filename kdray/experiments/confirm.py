"""Confirmation: settings trained on several seeds, by the engine; what is in the store is not trained again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdray.config import RunConfig
from kdray.engines import Engine
from kdray.experiments.students import Shared, result_of_job, sendable
from kdray.results import BASELINE, FIRST_WEIGHTS
from kdray.stages import no_kd_baseline

log = logging.getLogger(__name__)


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


def start_without_kd(run: RunConfig) -> Candidate:
    """The control of a student that starts from a teacher's layers: what these layers alone are worth."""
    note = f"hard labels only, but its first weights are the {run.student.init_from}'s layers"
    control = run.model_copy(update={"method": no_kd_baseline(run).method})
    return Candidate(FIRST_WEIGHTS, control, note)


def confirm(
    candidates: Sequence[Candidate], seeds: Sequence[int], shared: Shared, engine: Engine, *, cpus: int, gpus: float
) -> dict[str, list[dict[str, Any]]]:
    """Every candidate on every seed: label to one result document a seed, in the order of the seeds."""
    alike: dict[str, list[Candidate]] = {}  # the winner may well be one of the others: its students are trained once
    for candidate in candidates:
        alike.setdefault(candidate.run.model_dump_json(), []).append(candidate)
    wanted = [(same, seed) for seed in seeds for same in alike.values()]
    jobs = [(sendable(_seeded(same[0].run, seed)), shared, "distill") for same, seed in wanted]
    titles = [f"distill {same[0].run.method.label}, {same[0].label}, seed {seed}" for same, seed in wanted]
    found = dict[tuple[str, int], dict[str, Any]]()
    store = candidates[0].run.store if candidates else None
    results = engine.run_many(jobs, result_of_job, titles=titles, cpus=cpus, gpus=gpus, store=store)
    for done, (number, result) in enumerate(results, start=1):
        same, seed = wanted[number]
        found |= {(candidate.label, seed): result for candidate in same}
        metric = result["metric"]
        log.info(
            "confirm %d of %d: %s, seed %d: test %s %.4f",
            done,
            len(wanted),
            " = ".join(candidate.label for candidate in same),
            seed,
            metric,
            result["metrics"]["test"][metric],
        )
    return {c.label: [found[c.label, seed] for seed in seeds] for c in candidates}


def seeds_in_words(seeds: Sequence[int]) -> str:
    """For a log line.

    >>> seeds_in_words([0]), seeds_in_words(range(3))
    ('seed 0', 'seeds 0, 1, 2')
    """
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _seeded(run: RunConfig, seed: int) -> RunConfig:
    return run.model_copy(update={"train": run.train.model_copy(update={"seed": seed})})
