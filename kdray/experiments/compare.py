"""A comparison: named settings, each trained on the same seeds with the same teachers, and one table of all."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kdray.config import RunConfig, merge, parse
from kdray.errors import ConfigError
from kdray.experiments.confirm import Candidate, confirm, no_kd_candidate, seeds_in_words, start_without_kd
from kdray.experiments.documents import Provenance, facts_of, pairs, students, write
from kdray.experiments.students import Shared
from kdray.stages import Context, prepare

log = logging.getLogger(__name__)


def compare(
    name: str,
    variants: Mapping[str, Mapping[str, Any]],
    run: RunConfig,
    context: Context,
    *,
    seeds: Sequence[int],
    cpus: int,
    gpus: float,
    provenance: Provenance,
) -> dict[str, Any]:
    """Train every variant and the controls of `candidates_of` on every seed; returns what result.json holds.

    The engine of `context` trains them: `InProcess()` one after the other, `OnRay` as Ray tasks.
    Students that are in the store are not trained again, so the same command continues a stopped comparison.

    Args:
        variants: Label to dotted overrides of the run, in the order of the table.

    Raises:
        ConfigError: A variant's settings do not fit; raised before anything is made.
    """
    candidates = candidates_of(variants, run)
    start = time.time()
    prepared = prepare(run, context, every_teacher=True)
    ready = time.time()
    log.info("compare: %d students on %s", len(candidates), seeds_in_words(seeds))
    trained = confirm(candidates, seeds, Shared.of(prepared), context.engine, cpus=cpus, gpus=gpus)
    document: dict[str, Any] = {"kind": "comparison", **facts_of(name, run, prepared, context, provenance)}
    document["confirmation"] = students(candidates, trained, seeds, document["teachers"])
    document["pairs"] = pairs(candidates, trained)
    phases = {"prepare": ready - start, "train": time.time() - ready}
    document["seconds"] = {"total": time.time() - start, "by_phase": phases}
    write(document, context, name)
    return document


def _parsed(label: str, plain: Mapping[str, Any]) -> RunConfig:
    try:
        return parse(plain, source=label)
    except ConfigError as error:  # one about the file of a class does not name what was parsed
        raise ConfigError(str(error) if str(error).startswith(f"{label}: ") else f"{label}: {error}") from error


def candidates_of(variants: Mapping[str, Mapping[str, Any]], run: RunConfig) -> list[Candidate]:
    """The variants, the no-KD baseline, and, of students that start from a teacher's layers, these layers without KD.

    Raises:
        ConfigError: A variant's settings do not fit.
    """
    plain = run.model_dump(mode="json")
    parsed = {label: _parsed(label, merge(plain, changes)) for label, changes in variants.items()}
    found = [*(Candidate(label, each) for label, each in parsed.items()), no_kd_candidate(run)]
    control = start_without_kd(run)
    if run.student.init_from != "encoder" and control.run not in parsed.values():
        found.append(control)
    return found
