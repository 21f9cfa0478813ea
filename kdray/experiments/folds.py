"""Folds of a sweep: train and validation of its corpus are pooled, and each fold is the validation split once.

The teachers, their outputs and the pruned corpus of a fold are made from its own train rows. All is in the store, so a
resumed sweep makes only what is missing.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdray.config import RunConfig
from kdray.corpora import Fold, load_description
from kdray.engines import Engine
from kdray.errors import ConfigError
from kdray.experiments.confirm import Candidate
from kdray.experiments.settings import SweepSettings
from kdray.experiments.students import Shared, result_of_job, sendable
from kdray.stages import Context, Prepared, prepare, read

log = logging.getLogger(__name__)

AUTO_FOLDS = 3
AUTO_ROWS = 5_000  # of train and validation; `auto` uses folds below


@dataclass(frozen=True)
class CorpusFold:
    """One fold, ready for students."""

    fold: Fold
    prepared: Prepared


def check_folds(settings: SweepSettings, run: RunConfig) -> None:
    """What can be refused before the corpus is read; `auto` refuses nothing.

    Raises:
        ConfigError: The run has a fold of its own, or a teacher that is not trained here.
    """
    if settings.folds not in (0, "auto") and (reason := _obstacle(run)):
        raise ConfigError(f"folds = {settings.folds}: {reason}.")


def prepare_folds(settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context) -> list[CorpusFold]:
    """What the students of each fold have in common, made if missing; empty if the sweep uses no folds.

    One trial needs none, because nothing is compared.

    Raises:
        ConfigError: The corpus has no such folds, or as `prepare`.
    """
    number = _number(settings, run, prepared)
    folds = [Fold(index=index, of=number) for index in range(number)]
    try:
        for fold in folds:  # all of them before the first teacher is trained
            read(_in_fold(run, fold).corpus, context)
    except ConfigError as error:
        if settings.folds != "auto":
            raise
        log.info("sweep %s: no folds: %s", settings.name, error)
        return []
    if folds:
        log.info("sweep %s: candidates will be compared on %d folds of train and validation", settings.name, number)
    return [CorpusFold(fold, prepare(_in_fold(run, fold), context, every_teacher=True)) for fold in folds]


def rows_of(folds: Sequence[CorpusFold]) -> dict[str, int]:
    """Rows by split, summed over the folds."""
    every = [load_description(each.prepared.corpus.folder)["info"]["rows"] for each in folds]
    return {split: sum(rows[split] for rows in every) for split in every[0]}


def train_by_fold(
    settings: SweepSettings, candidates: Mapping[int, Candidate], folds: Sequence[CorpusFold], engine: Engine
) -> dict[int, list[dict[str, Any]]]:
    """Each candidate once a fold, with the seed of the search: its number to one result document a fold."""
    alike: dict[str, list[int]] = {}  # equal settings are trained once
    for number, each in candidates.items():
        alike.setdefault(each.run.model_dump_json(), []).append(number)
    wanted = [(place, numbers) for place in range(len(folds)) for numbers in alike.values()]
    jobs, titles = list[Any](), list[str]()
    for place, numbers in wanted:
        fold, first = folds[place], candidates[numbers[0]]
        jobs.append((sendable(_in_fold(first.run, fold.fold)), Shared.of(fold.prepared), "distill"))
        titles.append(f"distill {first.run.method.label}, {first.label}, fold {place + 1} of {len(folds)}")
    found = dict[tuple[int, int], dict[str, Any]]()
    store = next(iter(candidates.values())).run.store if candidates else None
    cpus, gpus = settings.cpus, settings.gpus
    results = engine.run_many(jobs, result_of_job, titles=titles, cpus=cpus, gpus=gpus, store=store)
    for done, (place, result) in enumerate(results, start=1):
        found |= {(number, wanted[place][0]): result for number in wanted[place][1]}
        metric = result["metric"]
        score = result["metrics"]["validation"][metric]
        log.info("folds %d of %d: %s: validation %s %.4f", done, len(jobs), titles[place], metric, score)
    return {number: [found[number, place] for place in range(len(folds))] for number in candidates}


def most_in_folds(settings: SweepSettings) -> int:
    """How many students may be trained in folds."""
    return (settings.candidates + 1) * (AUTO_FOLDS if settings.folds == "auto" else settings.folds)


def _number(settings: SweepSettings, run: RunConfig, prepared: Prepared) -> int:
    if settings.folds == 0:
        return 0
    reason = None
    if settings.trials < 2:
        reason = "one trial has nothing to be compared with"
    elif settings.folds == "auto":
        rows = load_description(prepared.corpus.folder)["info"]["rows"]
        pooled, reason = rows["train"] + rows["validation"], _obstacle(run)
        if pooled >= AUTO_ROWS:
            reason = f"train and validation have {pooled:,} rows, and folds are for fewer than {AUTO_ROWS:,}"
    if reason is None:
        return AUTO_FOLDS if settings.folds == "auto" else settings.folds
    log.info("sweep %s: no folds: %s.", settings.name, reason)
    return 0


def _obstacle(run: RunConfig) -> str | None:
    """Why a run can have no folds; None if it can."""
    if run.corpus.fold is not None:
        return "corpus.fold is set, and a sweep with folds sets it itself; leave one of them out"
    for number, teacher in enumerate(run.teachers):
        for key in ("predictions", "fine_tuned"):
            if getattr(teacher, key):
                return (
                    f"teachers.{number}.{key} is set, and a teacher that kdray does not train may have learned from "
                    "the rows that a fold holds out; leave out folds, or that setting"
                )
    return None


def _in_fold(run: RunConfig, fold: Fold) -> RunConfig:
    corpus = run.corpus.model_copy(update={"fold": fold, "validation_fraction": None})
    return run.model_copy(update={"corpus": corpus})
