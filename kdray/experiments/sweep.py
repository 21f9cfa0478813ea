"""A whole sweep: prepare, search, confirm, and the documents it leaves: result.json, trials.parquet, report.html."""

import logging
import shlex
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdray.config import RunConfig, merge, parse
from kdray.errors import RunError
from kdray.experiments.confirm import Candidate, confirm, no_kd_candidate
from kdray.experiments.documents import Provenance, facts_of, students, write
from kdray.experiments.search import Driver, check, search
from kdray.experiments.settings import SearchResult, SweepSettings
from kdray.experiments.students import Shared
from kdray.secrets import without_passwords
from kdray.stages import Context, Prepared, no_kd_baseline, prepare
from kdray.tasks import get_metric

log = logging.getLogger(__name__)

VANILLA = "vanilla KD"
FRONT_STUDENTS = 3  # confirmed beside the winner, those with the best metric


def sweep(
    settings: SweepSettings,
    run: RunConfig,
    context: Context,
    *,
    seeds: Sequence[int],
    provenance: Provenance,
    driver: Driver,
) -> dict[str, Any]:
    """Run a sweep to its end and write its documents; returns what result.json holds.

    Args:
        context: Its engine makes what the trials share, and trains the confirmed students.
        driver: Runs the trials of the search: `kdray.experiments.local.OneByOne()` in this process, or
            `kdray.tuning.tune.RayTune()` on the cluster of a running Ray session.

    Raises:
        ConfigError: As `check`, before anything is made.
        RunError: No trial finished.
    """
    check(settings, run, context.store, driver)
    start, phases = time.time(), dict[str, float]()
    prepared = _timed("prepare", phases, lambda: prepare(run, context, every_teacher=True))
    found = _timed("search", phases, lambda: search(settings, run, prepared, context, driver))
    higher = get_metric(run.corpus.main_metric).higher_is_better
    best = _best(found, higher_is_better=higher)
    candidates = _candidates(settings, run, found, best, higher_is_better=higher)
    log.info("confirm: %d candidates on seeds %s", len(candidates), list(seeds))
    confirmed = _timed(
        "confirm",
        phases,
        lambda: confirm(candidates, seeds, Shared.of(prepared), context.engine, cpus=settings.cpus, gpus=settings.gpus),
    )
    document = _document(settings, run, prepared, context, found, best, provenance)
    document["confirmation"] = students(candidates, confirmed, seeds, document["teachers"])
    document["seconds"] = {"total": time.time() - start, "by_phase": phases}
    _write(document, context, settings.name)
    return document


def _timed(name: str, phases: dict[str, float], work: Any) -> Any:
    start = time.time()
    result = work()
    phases[name] = time.time() - start
    return result


def _best_first(trial: Mapping[str, Any], *, higher_is_better: bool) -> tuple[float, int]:
    """A key to sort finished trials by: of equal ones the first is better."""
    return (-trial["value"] if higher_is_better else trial["value"], trial["number"])


def _best(found: SearchResult, *, higher_is_better: bool) -> dict[str, Any]:
    finished = [trial for trial in found.trials if trial["state"] == "complete"]
    if not finished:
        errors = {trial["error"] for trial in found.trials if trial["error"]}
        raise RunError(
            f"no trial finished; {len(found.trials)} ended without a student: {'; '.join(sorted(errors)) or 'stopped'}"
        )
    best = min(finished, key=partial(_best_first, higher_is_better=higher_is_better))
    return {"number": best["number"], "params": best["params"], "value": best["value"]}


def _candidates(
    settings: SweepSettings,
    run: RunConfig,
    found: SearchResult,
    best: dict[str, Any],
    *,
    higher_is_better: bool,
) -> list[Candidate]:
    """The winner, the no-KD baseline, vanilla KD as the base has it, the defaults where these are not that, and of
    several objectives the cheaper students on the front."""
    base = run.model_dump(mode="json")
    vanilla = parse(merge(base, {"method.name": "kd"}), source="sweep")
    defaults = parse(merge(base, _fixed(settings, settings.starts[0]["params"])), source="sweep")
    winner = parse(merge(base, _fixed(settings, best["params"])), source="sweep")
    candidates = [  # `most_candidates` counts them
        Candidate(f"winner (trial {best['number']}: {winner.method.name})", winner),
        Candidate(VANILLA, vanilla, "the base's settings"),
        no_kd_candidate(run),
    ]
    if _from_teacher(settings, run):
        started = run.model_copy(update={"method": no_kd_baseline(run).method})
        note = f"hard labels only, but its first weights are the {run.student.init_from}'s layers"
        candidates.append(Candidate("student from teacher layers, no KD", started, note))
    on_front = (trial for trial in found.trials if trial["number"] in (found.front or ()))
    others = sorted(
        (trial for trial in on_front if trial["number"] != best["number"]),
        key=partial(_best_first, higher_is_better=higher_is_better),
    )
    for trial in others[:FRONT_STUDENTS]:
        student = parse(merge(base, _fixed(settings, trial["params"])), source="sweep")
        candidates.append(Candidate(f"on the front (trial {trial['number']})", student))
    if defaults != vanilla:
        candidates.append(Candidate("defaults (trial 0)", defaults))
    return candidates


def most_candidates(settings: SweepSettings, run: RunConfig) -> int:
    """How many students the confirmation may train on each seed; those that turn out to be equal are trained once."""
    front = FRONT_STUDENTS if len(settings.objectives) > 1 else 0
    return len(("winner", "vanilla", "alone", "defaults")) + _from_teacher(settings, run) + front


def _from_teacher(settings: SweepSettings, run: RunConfig) -> bool:
    return settings.confirm_start and run.student.init_from != "encoder"


def _fixed(settings: SweepSettings, params: dict[str, Any]) -> dict[str, Any]:
    import optuna

    return settings.space(optuna.trial.FixedTrial(params))  # pyright: ignore[reportArgumentType]


def _document(
    settings: SweepSettings,
    run: RunConfig,
    prepared: Prepared,
    context: Context,
    found: SearchResult,
    best: dict[str, Any],
    provenance: Provenance,
) -> dict[str, Any]:
    return {
        "kind": "sweep",
        **facts_of(settings.name, run, prepared, context, provenance),
        "trials": found.trials,
        "best": best,
        "objectives": list(settings.objectives),
        "front": found.front,
        "importances": found.importances,
        "importances_note": found.importances_note,
        "stopped": found.stopped,
        "commands": {
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
