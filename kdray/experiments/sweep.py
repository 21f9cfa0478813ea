"""A whole sweep: prepare, search, confirm, and the documents it leaves: result.json, trials.parquet, report.html."""

import logging
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdray.config import RunConfig, merge, parse
from kdray.errors import ConfigError, RunError, plural
from kdray.experiments.confirm import Candidate, confirm, no_kd_candidate, seeds_in_words, start_without_kd
from kdray.experiments.documents import Provenance, facts_of, pairs, students, write
from kdray.experiments.folds import CorpusFold, check_folds, prepare_folds, rows_of, train_by_fold
from kdray.experiments.latency import Exported, deploy
from kdray.experiments.replay import trained_of
from kdray.experiments.search import Driver, check, search
from kdray.experiments.selection import select, select_by_folds
from kdray.experiments.settings import SearchResult, SweepSettings
from kdray.experiments.students import Shared
from kdray.results import Selection
from kdray.secrets import without_passwords
from kdray.stages import Context, Prepared, check_run, load_stored, prepare
from kdray.tasks import get_metric

log = logging.getLogger(__name__)

VANILLA = "vanilla KD"
BUNDLE = "bundle"  # in the sweep's folder
FRONT_STUDENTS = 3  # confirmed in addition to the winner, those with the best metric


def sweep(
    settings: SweepSettings,
    run: RunConfig,
    context: Context,
    *,
    seeds: Sequence[int],
    provenance: Provenance,
    driver: Driver,
    exported: Exported | None = None,
    begun: float | None = None,
) -> dict[str, Any]:
    """Run a sweep to its end and write its documents; returns what result.json holds.

    With a limit of the latency, or where a bundle is wanted, it ends with one, `sweeps/<name>/bundle`.

    Args:
        exported: The latency of all shapes of the search, where it was measured.
        begun: From when the time of the command counts; None counts from now.
        context: Its engine makes what the trials share, and trains the confirmed students.
        driver: Runs the trials of the search: `kdray.experiments.local.OneByOne()` in this process, or
            `kdray.tuning.tune.RayTune()` on the cluster of a running Ray session.

    Raises:
        ConfigError: As `check` and `check_folds`, before anything is made, or as `prepare_folds`, before the search.
        RunError: No trial finished, or no bundle meets the limit of the latency (the documents are written then).
    """
    check_folds(settings, run)
    check(settings, run, context.store, driver)
    start, phases = begun or time.time(), dict[str, float]()
    if exported is not None:
        phases["start and time exports"] = time.time() - start
    prepared, folds = _timed("prepare", phases, lambda: _prepared(settings, run, context))
    found = _timed("search", phases, lambda: search(settings, run, prepared, context, driver, provenance.command))
    higher = get_metric(run.corpus.main_metric).higher_is_better
    best_trials = _best_trials(settings, run, found, higher_is_better=higher)
    others = _others(settings, run, prepared, found, best_trials, higher_is_better=higher)
    candidates = [*best_trials.values(), *others]
    log.info("confirm: %d students on %s", len(candidates), seeds_in_words(seeds))
    confirmed = _timed(
        "confirm",
        phases,
        lambda: confirm(candidates, seeds, Shared.of(prepared), context.engine, cpus=settings.cpus, gpus=settings.gpus),
    )
    document = _document(settings, run, prepared, context, found, provenance)
    if folds and len(best_trials) > 1:
        by_fold = _timed("folds", phases, lambda: train_by_fold(settings, best_trials, folds, context.engine))
        selection = select_by_folds(
            by_fold, seed=run.train.seed, metric=document["metric"], higher_is_better=higher, rows=rows_of(folds)
        )
    else:
        selection = select(
            {number: confirmed[each.label] for number, each in best_trials.items()},
            seeds,
            searched=run.train.seed,
            metric=document["metric"],
            higher_is_better=higher,
            rows=document["corpus"]["rows"]["validation"],
        )
    chosen = best_trials[selection.winner]
    document["selection"] = selection.plain()
    document["best"] = _best(settings, found, selection.winner)
    winner = replace(chosen, label=f"winner ({chosen.label})")
    confirmed = {winner.label if label == chosen.label else label: results for label, results in confirmed.items()}
    candidates = [winner, *(each for each in candidates if each is not chosen)]
    document["confirmation"] = students(candidates, confirmed, seeds, document["teachers"])
    document["pairs"] = pairs(candidates, confirmed)
    if exported is not None:
        _with_latency(document, settings, candidates, exported)
    document["seconds"] = {"total": time.time() - start, "by_phase": phases}
    _write(document, context, settings.name)
    if exported is not None and settings.ends_with_bundle:
        numbers = _by_mean(selection, higher_is_better=higher)
        best = [(best_trials[each].run, confirmed[_label(best_trials[each], chosen, winner)][0]) for each in numbers]
        found = [(each, trained_of(result["spec"]["digest"], context.store)) for each, result in best]
        folder = context.store.local_path(f"sweeps/{settings.name}") / BUNDLE
        document["latency"]["bundle"] = _timed(
            "make the bundle",
            phases,
            lambda: deploy(
                found,
                limit_ms=settings.limit_ms,
                formats=settings.formats,
                exported=exported,
                corpus=prepared.corpus,
                folder=folder,
            ),
        )
        document["seconds"] = {"total": time.time() - start, "by_phase": phases}
        document["latency"]["bundle"]["trial"] = numbers[document["latency"]["bundle"].pop("choice")]
        _write(document, context, settings.name)
    return document


def _prepared(settings: SweepSettings, run: RunConfig, context: Context) -> tuple[Prepared, list[CorpusFold]]:
    prepared = prepare(run, context, every_teacher=True)
    return prepared, prepare_folds(settings, run, prepared, context)


def _with_latency(
    document: dict[str, Any], settings: SweepSettings, candidates: Sequence[Candidate], exported: Exported
) -> None:
    """The latency of exports in place of that which workers measured while others ran."""
    for row, candidate in zip(document["confirmation"], candidates, strict=True):
        row["latency_ms"] = exported.fastest(candidate.run) if exported.has(candidate.run) else None
    for teacher in document["teachers"]:
        teacher["latency_ms"] = exported.teachers.get(teacher["name"])
    document["latency"] = {
        "limit_ms": settings.limit_ms,
        "formats": list(settings.formats),
        **exported.plain(),
        "bundle": None,
    }


def _by_mean(selection: Selection, *, higher_is_better: bool) -> list[int]:
    """The winner, and then the other candidates, the best mean first."""
    sign = -1 if higher_is_better else 1
    others = sorted(selection.contenders, key=lambda each: (sign * each.validation, each.number))
    return [selection.winner, *(each.number for each in others if each.number != selection.winner)]


def _label(candidate: Candidate, chosen: Candidate, winner: Candidate) -> str:
    return winner.label if candidate is chosen else candidate.label


def _timed(name: str, phases: dict[str, float], work: Any) -> Any:
    start = time.time()
    result = work()
    phases[name] = time.time() - start
    return result


def _best_first(trial: Mapping[str, Any], *, higher_is_better: bool) -> tuple[float, int]:
    """A key to sort finished trials by: of equal ones the first is better."""
    return (-trial["value"] if higher_is_better else trial["value"], trial["number"])


def _best(settings: SweepSettings, found: SearchResult, number: int) -> dict[str, Any]:
    """The winner as the search found it; the defaults may have failed there, or may have been stopped early."""
    trial = next((each for each in found.trials if each["number"] == number), None)
    params = settings.starts[0]["params"] if trial is None else trial["params"]
    return {"number": number, "params": dict(params), "value": None if trial is None else trial["value"]}


def _best_trials(
    settings: SweepSettings, run: RunConfig, found: SearchResult, *, higher_is_better: bool
) -> dict[int, Candidate]:
    """The defaults (trial 0) and the best trials, by their numbers.

    Raises:
        RunError: No trial finished.
    """
    finished = [trial for trial in found.trials if trial["state"] == "complete"]
    if not finished:
        errors = {trial["error"] for trial in found.trials if trial["error"]}
        raise RunError(
            f"no trial finished; {len(found.trials)} ended without a student: {'; '.join(sorted(errors)) or 'stopped'}"
        )
    best = sorted(finished, key=partial(_best_first, higher_is_better=higher_is_better))[: settings.candidates]
    start = _changed(settings, run, settings.starts[0]["params"])
    made = {0: Candidate(f"defaults, trial 0: {start.method.label}", start)}
    for trial in best:
        student = _changed(settings, run, trial["params"])
        made.setdefault(trial["number"], Candidate(f"trial {trial['number']}: {_named(student, run)}", student))
    return made


def _named(student: RunConfig, base: RunConfig) -> str:
    """The method, and the student where it is another one than that of the base."""
    ours, its = student.student, base.student
    if ours.architecture == its.architecture and ours.depth == its.depth:
        return student.method.label
    if not ours.is_transformer:
        return f"{student.method.label}, {ours.architecture.label}"
    return f"{student.method.label}, {plural(ours.depth, 'layer')}"


def _others(
    settings: SweepSettings,
    run: RunConfig,
    prepared: Prepared,
    found: SearchResult,
    best_trials: Mapping[int, Candidate],
    *,
    higher_is_better: bool,
) -> list[Candidate]:
    """The no-KD baseline, vanilla KD as the base has it where the defaults are not that, the first weights without KD,
    and of several objectives the cheaper students on the front."""
    vanilla = _vanilla(run, prepared)
    candidates = [no_kd_candidate(run)]  # `most_candidates` counts them
    if vanilla is not None and vanilla != best_trials[0].run:
        candidates.append(Candidate(VANILLA, vanilla, "the base's settings"))
    if _from_teacher(settings, run):
        candidates.append(start_without_kd(run))
    on_front = (trial for trial in found.trials if trial["number"] in (found.front or ()))
    others = sorted(
        (trial for trial in on_front if trial["number"] not in best_trials),
        key=partial(_best_first, higher_is_better=higher_is_better),
    )
    for trial in others[:FRONT_STUDENTS]:
        student = _changed(settings, run, trial["params"])
        candidates.append(Candidate(f"on the front (trial {trial['number']}: {_named(student, run)})", student))
    return candidates


def _vanilla(run: RunConfig, prepared: Prepared) -> RunConfig | None:
    """The run with vanilla KD; None where its student cannot learn by that, or there is no teacher."""
    try:
        vanilla = parse(merge(run.model_dump(mode="json"), {"method.name": "kd"}), source="vanilla KD")
        check_run(vanilla, load_stored(prepared.corpus).task)
    except ConfigError as error:
        log.info("confirm: the table has no row for vanilla KD: %s", error)
        return None
    return vanilla


def _changed(settings: SweepSettings, run: RunConfig, params: Mapping[str, Any]) -> RunConfig:
    """The run with the settings of a trial."""
    import optuna

    fixed: Any = optuna.trial.FixedTrial(dict(params))
    return parse(merge(run.model_dump(mode="json"), settings.space(fixed)), source="sweep")


def most_candidates(settings: SweepSettings, run: RunConfig) -> int:
    """How many students the confirmation may train on each seed; those that turn out to be equal are trained once."""
    front = FRONT_STUDENTS if len(settings.objectives) > 1 else 0
    return settings.candidates + len(("defaults", "baseline", "vanilla")) + _from_teacher(settings, run) + front


def _from_teacher(settings: SweepSettings, run: RunConfig) -> bool:
    return settings.confirm_start and run.student.init_from != "encoder"


def _document(
    settings: SweepSettings,
    run: RunConfig,
    prepared: Prepared,
    context: Context,
    found: SearchResult,
    provenance: Provenance,
) -> dict[str, Any]:
    return {
        "kind": "sweep",
        **facts_of(settings.name, run, prepared, context, provenance),
        "trials": found.trials,
        "objectives": list(settings.objectives),
        "front": found.front,
        "importances": found.importances,
        "importances_note": found.importances_note,
        "stopped": found.stopped,
        "commands": {
            "first": found.command,
            "resume": provenance.resume,
            "trial": _trial_command(settings, run),
        },
    }


def _trial_command(settings: SweepSettings, run: RunConfig) -> str:
    """What trains a trial again, its number left open."""
    storage = ["--storage", without_passwords(settings.storage)] if settings.storage else []
    return f"kdray trial {settings.name} {{number}} {shlex.join(['--store', run.store, *storage])}"


def _write(document: dict[str, Any], context: Context, name: str) -> None:
    write(document, context, name)
    flat = [
        {key: value for key, value in trial.items() if key not in ("params", "history")}
        | {f"params.{key}": str(value) for key, value in trial["params"].items()}
        for trial in document["trials"]
    ]
    names = list(dict.fromkeys(key for row in flat for key in row))
    table = pa.table({key: pa.array([row.get(key) for row in flat]) for key in names})
    with pa.BufferOutputStream() as sink:
        pq.write_table(table, sink)
        context.store.write_bytes(f"sweeps/{name}/trials.parquet", sink.getvalue().to_pybytes())
