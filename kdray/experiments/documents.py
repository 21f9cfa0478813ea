"""The result documents of a sweep or a comparison: result.json, and its report in HTML and in Markdown."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import kdray
from kdray import report, results
from kdray.config import RunConfig
from kdray.corpora import load_description
from kdray.distillation import TeacherRef
from kdray.evaluate import Right, against, bootstrap, by_seed, holm, mcnemar, spread, unpack_rows
from kdray.experiments.confirm import Candidate
from kdray.origin import shown
from kdray.report.formatting import flat
from kdray.results import BASELINE
from kdray.stages import Context, Prepared
from kdray.stages.outputs import given_scores
from kdray.stages.prune import record as pruning_record
from kdray.stages.train_stage import result_of
from kdray.store import Store
from kdray.tasks import best_of, get_metric


@dataclass(frozen=True)
class Provenance:
    """What a reader of the result must know of how it came about.

    Attributes:
        requested: The corpus of the settings (`auto` may have become the sample).
        command: The command line.
        resume: The command line that resumes this sweep.
        notes: Where the rows were given in Python, what was done to them before; None where the settings name them.
    """

    requested: str
    command: str
    resume: str
    notes: Sequence[str] | None = None

    @classmethod
    def of_python(cls, function: str, requested: str, notes: Sequence[str] | None) -> "Provenance":
        """Of a call in Python, with the program that made it."""
        program = Path(sys.argv[0] if sys.argv else "").name
        where = " in a notebook" if program == "ipykernel_launcher.py" else f" in {program}" if program else ""
        return cls(requested, f"{function}{where}", function, notes)


def facts_of(name: str, run: RunConfig, prepared: Prepared, context: Context, provenance: Provenance) -> dict[str, Any]:
    """What a reader must know of anything that trained several students: where from, by which command, with what."""
    described = load_description(prepared.corpus.folder)
    info, metric = described["info"], described["task"]["metrics"][0]
    settings = run.model_dump(mode="json")
    if provenance.notes is not None:  # the folder of the settings is a copy of the rows that ends with the program
        info = info | {"origin": "; ".join(["rows that were given in Python", *provenance.notes])}
        settings["corpus"]["path"] = None
    return {
        "name": name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": provenance.command,
        "commit": _commit(),
        "kdray": kdray.__version__,
        "versions": _versions(),
        "corpus": results.Corpus(
            **{key: info[key] for key in ("name", "is_sample", "note", "origin", "rows")},
            requested=provenance.requested,
        ).plain(),
        "metric": shown(metric),
        "higher_is_better": get_metric(metric).higher_is_better,
        "teachers": [teacher_record(ref, context.store, shown(metric)) for ref in prepared.teachers],
        "prune": None if prepared.pruned_corpus is None else pruning_record(prepared.pruned_corpus),
        "stages": context.journal,
        "settings": settings,
    }


def students(
    candidates: Sequence[Candidate],
    confirmed: Mapping[str, Sequence[dict[str, Any]]],
    seeds: Sequence[int],
    teachers: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """The table of students trained on several seeds, with the no-KD baseline.

    Args:
        confirmed: By label, one result a seed; `BASELINE` is one of them.
    """

    def scores(label: str, split: str) -> list[float]:
        return [result["metrics"][split][result["metric"]] for result in confirmed[label]]

    baseline = scores(BASELINE, "test")
    higher = confirmed[BASELINE][0]["higher_is_better"]
    teacher = best_of((t["test"] for t in teachers if _is_whole(t)), higher_is_better=higher)
    rows: list[dict[str, Any]] = []
    own = _own_settings([candidate.run for candidate in candidates])
    for candidate, settings in zip(candidates, own, strict=True):
        is_alone = candidate.label == BASELINE
        mine = against(
            scores(candidate.label, "test"),
            alone=None if is_alone else baseline,
            teacher=teacher,
            higher_is_better=higher,
        )
        costs = [result["cost"] for result in confirmed[candidate.label]]
        difference = results.Difference(to=BASELINE, mean=mine.difference, p_value=mine.p_value, test="Welch's t-test")
        row = results.Confirmed(
            label=candidate.label,
            method=candidate.run.method.name,
            seeds=tuple(seeds),
            validation=results.Spread(**spread(scores(candidate.label, "validation")).plain()),
            test=results.Spread(**mine.scores.plain()),
            retention=mine.retention,
            distillation_ratio=mine.distillation_ratio if is_alone or candidate.run.method.max_teachers != 0 else None,
            parameters=costs[0]["parameters"],
            latency_ms=min(cost["latency_ms"] for cost in costs),
            difference=None if is_alone else difference,
            note=candidate.note,
            agreement=_mean_agreement([result.get("agreement", {}) for result in confirmed[candidate.label]]),
            languages=_mean_of_languages(confirmed[candidate.label]),
            classes=_mean_of_classes([result.get("classes", {}) for result in confirmed[candidate.label]]),
            runs=tuple(result["spec"]["digest"] for result in confirmed[candidate.label]),
            settings=settings,
        )
        rows.append(row.plain())
    return rows


def _own_settings(runs: Sequence[RunConfig]) -> list[dict[str, Any]]:
    """Of each run the settings of its method, and those that differ between the runs, by dotted key."""
    plain = [dict(flat(run.model_dump(mode="json"))) for run in runs]
    differ = {key for each in plain for key in each if any(other.get(key, ...) != each[key] for other in plain)}
    return [{key: each[key] for key in each if key in differ or key.startswith("method.")} for each in plain]


def pairs(candidates: Sequence[Candidate], confirmed: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Tests between all students of a table on the test split, paired by seed and, for accuracy, by row.

    Candidates that are the same students are compared once, under the first label.
    """
    by_runs = {tuple(each["spec"]["digest"] for each in confirmed[c.label]): c.label for c in reversed(candidates)}
    labels = [each.label for each in candidates if each.label in by_runs.values()]
    found = {f"{one}\0{other}": _pair(one, other, confirmed) for one, other in combinations(labels, 2)}
    rows = holm({name: pair["p_rows"] for name, pair in found.items()})
    seeds = holm({name: pair["p_seeds"] for name, pair in found.items()})
    return [results.Pair(**pair, holm_rows=rows[name], holm_seeds=seeds[name]).plain() for name, pair in found.items()]


def _pair(one: str, other: str, confirmed: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    metric = confirmed[one][0]["metric"]
    ours, theirs = ([each["metrics"]["test"][metric] for each in confirmed[label]] for label in (one, other))
    pair = {
        "label": one,
        "to": other,
        "difference": spread(ours).mean - spread(theirs).mean,
        "p_seeds": by_seed(ours, theirs),
        "p_rows": None,
    }
    mine, its = (_right(confirmed[label]) for label in (one, other))
    if metric != "accuracy" or mine is None or its is None:
        return pair
    interval = bootstrap(mine, its)
    bounds = {"low": interval.low, "high": interval.high, "p_bootstrap": interval.p_value}
    return pair | bounds | {"p_rows": mcnemar(mine, its)}


def _right(seeds: Sequence[Mapping[str, Any]]) -> Right | None:
    """The rows of test that are answered right by seed; None where a student was trained before kdray kept them."""
    kept = [each.get("right", {}).get("test") for each in seeds]
    return None if None in kept else np.stack([unpack_rows(each) for each in kept])


def write(document: Mapping[str, Any], context: Context, name: str) -> None:
    """Write result.json, report.html and report.md, and the script of the figures once into the store.

    Raises:
        ConfigError: The document is not a valid result.
    """
    result = results.parse_result(document).plain()
    context.store.write_json(f"sweeps/{name}/result.json", result)
    report.write_page(context.store, f"sweeps/{name}/report.html", result)


def _is_whole(teacher: Mapping[str, Any]) -> bool:
    """Whether its score is that of every test row: predictions from a file may leave rows out."""
    rows = (teacher["predicted"] or {}).get("test")
    return teacher["test"] is not None and (rows is None or rows["predicted"] == rows["rows"])


def _mean_agreement(seeds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        name: {split: sum(seed[name][split] for seed in seeds) / len(seeds) for split in by_split}
        for name, by_split in seeds[0].items()
        if all(name in seed for seed in seeds)
    }


def _mean_of_languages(seeds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The metric on the test rows of each language, as a mean over the seeds."""
    found = [(result.get("languages", {}).get("test", {}), result["metric"]) for result in seeds]
    named = [language for language, scores in found[0][0].items() if found[0][1] in scores]
    return {language: sum(by[language][metric] for by, metric in found) / len(found) for language in named}


def _mean_of_classes(seeds: Sequence[Mapping[str, Any]]) -> dict[str, results.ClassScores]:
    """Scores on test by class; the seeds have the same support."""
    return {
        name: results.ClassScores.model_validate(
            {key: sum(seed["test"][name][key] for seed in seeds) / len(seeds) for key in scores}
        )
        for name, scores in seeds[0].get("test", {}).items()
    }


def teacher_record(ref: TeacherRef, store: Store, metric: str) -> dict[str, Any]:
    """What a result holds of a teacher.

    Raises:
        RunError: The store no longer holds it.
    """
    if ref.model is None:
        found = given_scores(ref.outputs.open(store))
        scores = {split: values[metric] for split, values in found["metrics"].items()}
        return results.Teacher(
            name=ref.info.name,
            train=scores.get("train"),
            validation=scores.get("validation"),
            test=scores.get("test"),
            majority=found["majority"]["test"],
            predicted=found["rows"],
        ).plain()
    result = result_of(ref.model.open(store))
    return results.Teacher(
        name=ref.info.name,
        validation=result["metrics"]["validation"][metric],
        test=result["metrics"]["test"][metric],
        majority=result["majority"]["test"],
        parameters=result["cost"]["parameters"],
        latency_ms=result["cost"]["latency_ms"],
        classes=result.get("classes", {}).get("test", {}),
    ).plain()


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
    from importlib.metadata import version

    import torch
    import transformers

    python = ".".join(map(str, sys.version_info[:3]))
    modules = {m.__name__: str(m.__version__) for m in (torch, transformers)}
    others = {name: version(name) for name in ("optuna", "numpy", "scikit-learn")}
    return {"python": python, "ray": version("ray"), **modules, **others}
