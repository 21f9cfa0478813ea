"""A whole sweep: prepare, search, confirm, and the documents it leaves: result.json, trials.parquet, report.html."""

import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import kdray
from kdray import report
from kdray.config import RunConfig, parse
from kdray.corpora import load_description
from kdray.errors import RunFailed
from kdray.evaluate import against, spread
from kdray.on_ray.confirm import Contender, confirm
from kdray.on_ray.trial import Shared, store_folder, with_overrides
from kdray.on_ray.tune import SearchResult, SweepSettings, check, search
from kdray.prune import changed_texts
from kdray.stages import Context, Prepared, alone, prepare
from kdray.stages.fitting import result_of

log = logging.getLogger(__name__)

ALONE = "student alone"
VANILLA = "vanilla KD"
SHOWN_EXAMPLES = 20  # texts that pruning changed


@dataclass(frozen=True)
class Origin:
    """What a reader of the result must know of how it came about.

    Attributes:
        requested: The corpus that was asked for (`auto` may have become the sample).
        command: The command line.
        resume: The command line that goes on with this sweep.
    """

    requested: str
    command: str
    resume: str


def sweep(
    settings: SweepSettings, run: RunConfig, context: Context, *, seeds: Sequence[int], origin: Origin
) -> dict[str, Any]:
    """Run a sweep to its end and write its documents; returns what result.json holds.

    Raises:
        BadInput: As `check`, before anything is made.
        RunFailed: No trial finished.
    """
    check(settings, run, context.store)
    start, phases = time.time(), dict[str, float]()
    prepared = _timed("prepare", phases, lambda: prepare(run, context, every_teacher=True))
    found = _timed("search", phases, lambda: search(settings, run, prepared, context))
    best = _best(found)
    contenders = _contenders(settings, run, best)
    log.info("confirm: %d contenders on seeds %s", len(contenders), list(seeds))
    confirmed = _timed(
        "confirm",
        phases,
        lambda: confirm(contenders, seeds, Shared.of(prepared), cpus=settings.cpus, gpus=settings.gpus),
    )
    document = _document(settings, run, prepared, context, found, best, origin)
    document["confirmation"] = _table(contenders, confirmed, seeds, document["teachers"])
    document["seconds"] = {"total": time.time() - start, "by_phase": phases}
    _write(document, context, settings.name)
    return document


def _timed(name: str, phases: dict[str, float], work: Any) -> Any:
    start = time.time()
    result = work()
    phases[name] = time.time() - start
    return result


def _best(found: SearchResult) -> dict[str, Any]:
    finished = [trial for trial in found.trials if trial["state"] == "complete"]
    if not finished:
        errors = {trial["error"] for trial in found.trials if trial["error"]}
        raise RunFailed(
            f"no trial finished; {len(found.trials)} ended without a student ({'; '.join(errors) or 'stopped'})."
        )
    best = max(finished, key=lambda trial: (trial["value"], -trial["number"]))
    return {"number": best["number"], "params": best["params"], "value": best["value"]}


def _contenders(settings: SweepSettings, run: RunConfig, best: dict[str, Any]) -> list[Contender]:
    """The winner, the student alone, vanilla KD as the base has it, and the defaults where these are not that."""
    base = run.model_dump(mode="json")
    vanilla = parse(with_overrides(base, {"method.name": "kd"}), source="sweep")
    defaults = parse(with_overrides(base, _fixed(settings, settings.starts[0]["params"])), source="sweep")
    winner = parse(with_overrides(base, _fixed(settings, best["params"])), source="sweep")
    contenders = [
        Contender(f"winner (trial {best['number']}: {winner.method.name})", winner),
        Contender(VANILLA, vanilla, "the base's settings"),
        Contender(ALONE, alone(run), "bottom layers of the encoder, whole texts, hard labels, no teacher at all"),
    ]
    if settings.confirm_start and run.student.init_from != "encoder":
        started = run.model_copy(update={"method": alone(run).method})
        note = f"hard labels only, but its first weights are the {run.student.init_from}'s layers"
        contenders.append(Contender("student from teacher layers, no KD", started, note))
    if defaults != vanilla:
        contenders.append(Contender("defaults (trial 0)", defaults))
    return contenders


def _fixed(settings: SweepSettings, params: dict[str, Any]) -> dict[str, Any]:
    import optuna

    return settings.space(optuna.trial.FixedTrial(params))  # pyright: ignore[reportArgumentType]


def _table(
    contenders: Sequence[Contender],
    confirmed: dict[str, list[dict[str, Any]]],
    seeds: Sequence[int],
    teachers: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    def scores(label: str, split: str) -> list[float]:
        return [result["metrics"][split][result["metric"]] for result in confirmed[label]]

    baseline = scores(ALONE, "report")
    teacher = max((t["report"] for t in teachers), default=None)
    rows: list[dict[str, Any]] = []
    for contender in contenders:
        is_alone = contender.label == ALONE
        mine = against(scores(contender.label, "report"), alone=None if is_alone else baseline, teacher=teacher)
        cost = confirmed[contender.label][0]["cost"]
        rows.append(
            {
                "label": contender.label,
                "method": contender.run.method.name,
                "seeds": list(seeds),
                "select": spread(scores(contender.label, "select")).plain(),
                "report": mine.scores.plain(),
                "retention": mine.retention,
                "distillation_ratio": mine.distillation_ratio,
                "parameters": cost["parameters"],
                "latency_ms": cost["latency_ms"],
                "difference": None
                if is_alone
                else {
                    "to": ALONE,
                    "mean": mine.difference,
                    "p_value": mine.p_value,
                    "test": "Welch's t-test",
                },
                "note": contender.note,
                "runs": [result["spec"]["digest"] for result in confirmed[contender.label]],
            }
        )
    return rows


def _document(
    settings: SweepSettings,
    run: RunConfig,
    prepared: Prepared,
    context: Context,
    found: SearchResult,
    best: dict[str, Any],
    origin: Origin,
) -> dict[str, Any]:
    described = load_description(prepared.corpus.folder)
    info, metric = described["info"], described["task"]["metrics"][0]
    return {
        "kind": "sweep",
        "name": settings.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": origin.command,
        "commit": _commit(),
        "kdray": kdray.__version__,
        "versions": _versions(),
        "corpus": {key: info[key] for key in ("name", "is_sample", "note", "origin", "rows")}
        | {"requested": origin.requested},
        "metric": metric,
        "trials": found.trials,
        "best": best,
        "importances": found.importances,
        "importances_note": found.importances_note,
        "teachers": [_teacher(ref, context, metric) for ref in prepared.teachers],
        "prune": _pruned(prepared),
        "stages": context.journal,
        "settings": run.model_dump(mode="json"),
        "stopped": found.stopped,
        "commands": {
            "resume": origin.resume,
            "trial": f"kdray trial {settings.name} {{number}} --store {run.store}",
        },
    }


def _teacher(ref: Any, context: Context, metric: str) -> dict[str, Any]:
    result = result_of(ref.model.open(context.store))
    return {
        "name": ref.name,
        "select": result["metrics"]["select"][metric],
        "report": result["metrics"]["report"][metric],
        "majority": result["majority"]["report"],
        "parameters": result["cost"]["parameters"],
        "latency_ms": result["cost"]["latency_ms"],
    }


def _pruned(prepared: Prepared) -> dict[str, Any] | None:
    if prepared.view is None:
        return None
    summary = prepared.view.summary
    decisions = pq.read_table(prepared.view.file("decisions.parquet"))
    return {
        "policy": summary["policy"],
        "level": summary["level"],
        "units": summary["num_units"],
        "kept": summary["num_kept"],
        "rate": summary["prune_rate"],
        "per_class": {
            label: {
                "units": each["num_units"],
                "kept": each["num_units_kept"],
                "rate": 1 - each["num_units_kept"] / each["num_units"] if each["num_units"] else None,
            }
            for label, each in summary["classes"].items()
        },
        "examples": [
            {"before": [text for text, _ in changed["units"]], "kept": [kept for _, kept in changed["units"]]}
            for changed in changed_texts(decisions, SHOWN_EXAMPLES)
        ],
    }


def _write(document: dict[str, Any], context: Context, name: str) -> None:
    folder: Path = store_folder(context.store, "sweeps", name)
    context.store.write_json(f"sweeps/{name}/result.json", document)
    flat = [
        {key: value for key, value in trial.items() if key not in ("params", "history")}
        | {f"params.{key}": str(value) for key, value in trial["params"].items()}
        for trial in document["trials"]
    ]
    names = list(dict.fromkeys(key for row in flat for key in row))
    table = pa.table({key: pa.array([row.get(key) for row in flat]) for key in names})
    temporary = folder / "trials.parquet.tmp"
    pq.write_table(table, temporary)
    temporary.replace(folder / "trials.parquet")
    report.write(document, folder / "report.html")


def _commit() -> str | None:
    """The commit of the checkout that kdray runs from, marked when it has changes; None outside a checkout."""
    here = Path(kdray.__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except OSError:
        return None
    return found.stdout.strip() or None


def _versions() -> dict[str, str]:
    import optuna
    import ray
    import torch
    import transformers

    python = ".".join(map(str, sys.version_info[:3]))
    modules = {m.__name__: str(m.__version__) for m in (ray, torch, transformers, optuna)}
    return {"python": python, **modules}
