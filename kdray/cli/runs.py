"""The commands that make artifacts from a run file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdray.cli.show import show_plan, struck_out, table
from kdray.config import RunConfig, load
from kdray.corpora import kdray_data, resolve_auto
from kdray.engines.ray.access import check_access
from kdray.engines.ray.session import check_address
from kdray.errors import ConfigError


def run_stage(
    command: str,
    file: Path,
    overrides: Sequence[str],
    *,
    address: str | None,
    quiet: bool,
    allow_network: bool = False,
    show: int = 3,
) -> Any:
    """Run one stage and those before it, on Ray where something must be made; prints what came out unless `quiet`.

    Args:
        show: How many texts that pruning changed to show, of command `prune`.
    """
    run = with_corpus(load(file, overrides), "rte", quiet=quiet)
    check_access(address, allow_network=allow_network)
    check_address(address)
    from kdray.engines.ray.lazy import on_demand
    from kdray.stages import Context
    from kdray.store import Store

    def started(engine: Any) -> None:
        from kdray.engines.ray.plan import plan

        if not quiet and command in ("run", "distill", "evaluate"):
            show_plan(plan(run, engine))

    with on_demand(run.work, address, allow_network=allow_network, started=started) as engine:
        context = Context(Store(run.store), engine, kdray_data())
        document = _prune(run, context, show) if command == "prune" else _STAGES[command](run, context)
    document["stages"] = context.journal
    if not quiet:
        _show(document)
    return document


def with_corpus(run: RunConfig, wanted: str, *, quiet: bool) -> RunConfig:
    """The run with `corpus.name: auto` resolved; prints the choice."""
    if run.corpus.name != "auto":
        return run
    name, why = resolve_auto(wanted, data_dir=kdray_data())
    if not quiet:
        print(f"corpus: {name} ({why})", flush=True)
    return run.model_copy(update={"corpus": run.corpus.model_copy(update={"name": name})})


def _teach(run: RunConfig, context: Any) -> dict[str, Any]:
    from kdray.stages import load_stored, make_teachers, read
    from kdray.stages.train_stage import result_of

    corpus = read(run.corpus, context)
    rows = [_scored(name, result_of(model)) for name, model in make_teachers(run, corpus, context)]
    return {"rows": rows, "note": load_stored(corpus).info["note"]}


def _outputs(run: RunConfig, context: Any) -> dict[str, Any]:
    from kdray.stages import load_stored, make_teachers, outputs, read

    corpus = read(run.corpus, context)
    for name, model in make_teachers(run, corpus, context):
        outputs(model, corpus, context, name=name, quality_check=run.outputs.quality_check)
    return {"rows": [], "note": load_stored(corpus).info["note"]}


def _prune(run: RunConfig, context: Any, show: int) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from kdray.pruning import changed_texts
    from kdray.stages import prepare, read, with_pruning
    from kdray.stages.corpus import load_stored
    from kdray.stages.prune import needs_teachers

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
    examples = changed_texts(pq.read_table(pruned_corpus.file("decisions.parquet")), show)
    folder = pruned_corpus.path if context.store.is_local else context.store.uri_of(pruned_corpus.place())
    note = load_stored(prepared.corpus).info["note"]
    return {"summary": summary, "examples": examples, "rows": [], "pruned": str(folder), "note": note}


def _distill(run: RunConfig, context: Any) -> dict[str, Any]:
    from kdray.stages import distill, prepare

    prepared = prepare(run, context)
    return _student(run, prepared, distill(run, prepared, context), context)


def _evaluate(run: RunConfig, context: Any) -> dict[str, Any]:
    from kdray.stages import distill, prepare
    from kdray.stages.effect import pruning_effect

    prepared = prepare(run, context)
    student = distill(run, prepared, context)
    document = _student(run, prepared, student, context)
    if run.prune.policy.name != "none":
        scores, times = pruning_effect(run, prepared, student, context)
        document |= {"pruning": scores, "pruning_times": times}
    return document


def _student(run: RunConfig, prepared: Any, artifact: Any, context: Any) -> dict[str, Any]:
    from kdray.stages.corpus import load_stored
    from kdray.stages.train_stage import result_of

    result = result_of(artifact)
    rows = [_scored(f"student ({run.method.name})", result)]
    rows += [_scored(t.info.name, result_of(t.model.open(context.store))) for t in prepared.teachers]
    rows.append({"model": "majority class", "test": result["majority"]["test"]})
    folder = artifact.file("model") if context.store.is_local else context.store.uri_of(artifact.place("model"))
    note = load_stored(prepared.corpus).info["note"]
    return {"rows": rows, "model": str(folder), "result": result, "note": note}


_STAGES: dict[str, Any] = {
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


def _show(document: dict[str, Any]) -> None:
    if document["rows"]:
        print(table(document["rows"]))
    for title, name in (("The effect of pruning", "pruning"), ("Its speed", "pruning_times")):
        if document.get(name):
            print(f"\n{title} on the test split:\n" + table(document[name]))
    for example in document.get("examples", []):
        words = (text if kept else struck_out(text) for text, kept in example["units"])
        print(f"\n{example['id']} {example['field']}: {''.join(words).strip()}")
    if "summary" in document:
        _show_pruning(document["summary"])
    if document.get("note"):
        print(f"\nNote on the corpus: {document['note']}.")
    if "pruned" in document:
        print(f"\nThe pruned corpus, every decision and the fitted pruner are in {document['pruned']}")
    if "model" in document:
        print(f"\nThe student is in {document['model']}")


def _show_pruning(summary: dict[str, Any]) -> None:
    found = summary["duplicates"]
    shown = {k: v for k, v in summary.items() if k != "duplicates" and not isinstance(v, dict | list)}
    print("\n" + table([shown]))
    if found:
        print(
            f"\nNear-duplicates in train, before that: {found['rows']:,} rows are like another one of their "
            f"class, {found['dropped']:,} of them were dropped; {found['conflicts']:,} pairs have different labels."
        )
    for sentence in summary["warnings"]:
        print(f"kdray: {sentence}", file=sys.stderr)
