"""The commands that make artifacts from a run file."""

import argparse
import sys
from typing import Any

from kdray.cli.engine import check_engine_flags, engine_of
from kdray.cli.show import show_plan, struck_out, table
from kdray.config import RunConfig, load
from kdray.corpora import kdray_data, resolve_auto
from kdray.errors import ConfigError
from kdray.results import ROUGH_LATENCY


def run_command(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one stage and those before it; prints what came out, unless with --json."""
    command, quiet = arguments.command, arguments.json
    if command == "prune" and arguments.show < 0:
        raise ConfigError(f"--show {arguments.show}: give a number of texts, 0 or more.")
    run = with_corpus(load(arguments.file, arguments.overrides), "rte", quiet=quiet)
    check_engine_flags(arguments)
    from kdray.api.stages import run_stage

    def started(engine: Any) -> None:
        if not quiet and command in ("run", "distill", "evaluate"):
            show_plan(run, engine)

    texts = arguments.show if command == "prune" else 0
    document = run_stage(run, command, engine=engine_of(arguments), texts=texts, started=started)
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


def _show(document: dict[str, Any]) -> None:
    if rows := document["rows"]:
        print(table(rows) + f"\n{ROUGH_LATENCY}" * ("latency_ms" in rows[0]))
    if languages := document.get("result", {}).get("languages", {}).get("test"):
        rows = [{"language": language, **scores} for language, scores in languages.items()]
        print("\nThe student on the test split by language:\n" + table(rows))
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
