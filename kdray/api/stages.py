"""One stage of a run and those before it, from the settings of the run."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow.parquet as pq

from kdray.api.given import chosen_engine
from kdray.config import RunConfig
from kdray.corpora import kdray_data
from kdray.distillation import TeacherRef
from kdray.engines import Engine
from kdray.engines.choice import EngineChoice
from kdray.errors import ConfigError
from kdray.pruning import changed_texts
from kdray.stages import (
    Context,
    Prepared,
    distill,
    load_stored,
    make_teachers,
    prepare,
    read,
    teacher_outputs,
    with_pruning,
)
from kdray.stages.outputs import given_scores
from kdray.stages.prune import needs_teachers
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store


def run_stage(
    run: RunConfig,
    stage: str = "run",
    *,
    engine: EngineChoice | None = None,
    texts: int = 3,
    started: Callable[[Engine], None] = lambda engine: None,
) -> dict[str, Any]:
    """Run one stage and those before it; what is in the store already is reused.

    Args:
        stage: `prune`, `teach`, `outputs`, `distill`, or `evaluate`; `run` is `distill`.
        texts: How many texts that pruning changed are in the result, of stage `prune`.
        started: Called with the engine before it works.

    Returns:
        A table under `rows`, what the stage made, and its journal under `stages`.

    Raises:
        ConfigError: The settings do not fit together, or the data cannot be used.
        RunError: A training failed.
    """
    with chosen_engine(engine).start(run.work, started) as running:
        context = Context(Store(run.store), running, kdray_data())
        document = _prune(run, context, texts) if stage == "prune" else _STAGES[stage](run, context)
    document["stages"] = context.journal
    return document


def _teach(run: RunConfig, context: Context) -> dict[str, Any]:
    corpus = read(run.corpus, context)
    rows = [_scored(name, result_of(model)) for name, model in make_teachers(run, corpus, context)]
    return {"rows": rows, "note": load_stored(corpus).info["note"]}


def _outputs(run: RunConfig, context: Context) -> dict[str, Any]:
    corpus = read(run.corpus, context)
    teacher_outputs(run, corpus, context)
    return {"rows": [], "note": load_stored(corpus).info["note"]}


def _prune(run: RunConfig, context: Context, texts: int) -> dict[str, Any]:
    if run.prune.changes_nothing:
        raise ConfigError("prune.policy = none removes nothing; choose lower_tail or literal.")
    prepared = (
        prepare(run, context)
        if needs_teachers(run.prune)
        else with_pruning(run, read(run.corpus, context), [], context)
    )
    pruned_corpus = prepared.pruned_corpus
    assert pruned_corpus is not None
    summary = dict(pruned_corpus.summary)
    del summary["examples"]
    examples = changed_texts(pq.read_table(pruned_corpus.file("decisions.parquet")), texts)
    folder = pruned_corpus.path if context.store.is_local else context.store.uri_of(pruned_corpus.place())
    note = load_stored(prepared.corpus).info["note"]
    return {"summary": summary, "examples": examples, "rows": [], "pruned": str(folder), "note": note}


def _distill(run: RunConfig, context: Context) -> dict[str, Any]:
    prepared = prepare(run, context)
    return _student(run, prepared, distill(run, prepared, context), context)


def _evaluate(run: RunConfig, context: Context) -> dict[str, Any]:
    from kdray.stages.effect import pruning_effect  # loads scipy

    prepared = prepare(run, context)
    student = distill(run, prepared, context)
    document = _student(run, prepared, student, context)
    if run.prune.policy.name != "none":
        scores, times = pruning_effect(run, prepared, student, context)
        document |= {"pruning": scores, "pruning_times": times}
    return document


def _student(run: RunConfig, prepared: Prepared, artifact: Artifact, context: Context) -> dict[str, Any]:
    result = result_of(artifact)
    rows = [_scored(f"student ({run.method.name})", result)]
    rows += [_teacher(teacher, result, context) for teacher in prepared.teachers]
    rows.append({"model": "majority class", **result["majority"]})
    folder = artifact.file("model") if context.store.is_local else context.store.uri_of(artifact.place("model"))
    note = load_stored(prepared.corpus).info["note"]
    return {"rows": rows, "model": str(folder), "result": result, "note": note}


def _teacher(teacher: TeacherRef, student: Mapping[str, Any], context: Context) -> dict[str, Any]:
    agreed = student.get("agreement", {}).get(teacher.info.name, {})
    agreement = {f"agreement, {split}": share for split, share in agreed.items()}
    if teacher.model is not None:
        return _scored(teacher.info.name, result_of(teacher.model.open(context.store))) | agreement
    found = given_scores(teacher.outputs.open(context.store))
    scores = {split: values[found["metric"]] for split, values in found["metrics"].items()}
    return {"model": f"{teacher.info.name} (predictions)", "metric": found["metric"], **scores, **agreement}


_STAGES: dict[str, Callable[[RunConfig, Context], dict[str, Any]]] = {
    "run": _distill,
    "teach": _teach,
    "outputs": _outputs,
    "distill": _distill,
    "evaluate": _evaluate,
}


def _scored(name: str, result: dict[str, Any]) -> dict[str, Any]:
    metric, scores = result["metric"], result["metrics"]
    return {
        "model": name,
        "metric": metric,
        **{split: values[metric] for split, values in scores.items()},
        **({"macro_f1": scores["test"]["macro_f1"]} if "macro_f1" in scores["test"] else {}),
        "layers": result["cost"]["layers"],
        "parameters": result["cost"]["parameters"],
        "latency_ms": result["cost"]["latency_ms"],
    }
