"""`kdray compare`, and the programs of comparisons in `sweeps/`: named settings on the same seeds, one table out."""

import argparse
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdray.cli.engine import engine_of
from kdray.cli.flags import (
    add_flags,
    check_flags,
    heading,
    run_config,
    run_program,
    say,
    seeds_of,
    show_result,
    show_scores,
    show_students,
    without_sizes,
)
from kdray.cli.main import Parser
from kdray.config import ComparisonConfig, RunConfig, load_comparison
from kdray.engines import Engine
from kdray.errors import ConfigError
from kdray.log import seconds_so_far
from kdray.store import Store

Variants = Callable[[RunConfig], Mapping[str, Mapping[str, Any]]]


def compare_main(
    what: str,
    task: str,
    *,
    base: Mapping[str, Any],
    on_sample: Mapping[str, Any],
    variants: Variants,
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Parse the flags, train every variant on every seed, print the table, exit with 0, 1 or 2.

    Args:
        what: Names the comparison, in its folder and in `--help`.
        task: The corpus that `--corpus auto` looks for.
        base: The run's settings.
        on_sample: Sections that replace those of `base` when the corpus is the bundled sample.
        variants: Run to what is compared: label to dotted overrides.
        prog: The command as --help shows it, for a comparison file, whose keys the flags replace.
        defaults: Of flags, which a comparison file sets.
    """
    parser = _parser(what, task, prog=prog)
    parser.set_defaults(**defaults or {})
    run_program(
        parser,
        argv,
        lambda arguments, command: _compare(what, task, arguments, command, base, on_sample, variants),
        {"--resume": "give the same command again: students that are in the store are not trained twice."},
    )


def compare_file(path: Path, argv: Sequence[str]) -> None:
    """The comparison of a file; flags replace its settings.

    Raises:
        ConfigError: The file is not as it must be.
    """
    given = load_comparison(path)

    def variants(run: RunConfig) -> Mapping[str, Mapping[str, Any]]:
        from kdray.experiments.compare import candidates_of

        try:
            candidates_of(given.variants, run)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        return given.variants

    compare_main(
        path.stem,
        given.task,
        base=given.base(),
        on_sample=given.on_sample,
        variants=variants,
        argv=argv,
        prog=f"kdray compare {path}",
        defaults=without_sizes(given.flags(), argv),
    )


def print_help() -> None:
    """Of `kdray compare` without a file."""
    _parser("the variants of a file", "a corpus", prog="kdray compare FILE").print_help()


def _parser(what: str, task: str, *, prog: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog,
        description=f"Compare {what}: teachers once, then every student on several seeds."
        + (" Flags replace the keys of the file." if prog else ""),
        epilog="The same command continues a stopped comparison: what is in the store is not trained twice.\n\n"
        "example:\n  kdray compare sweeps/methods.yaml --engine local --seeds 1 corpus.limit=300\n"
        "  (300 rows are quick, and too few to learn from)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, ComparisonConfig, task)
    return parser


def _compare(
    what: str,
    task: str,
    arguments: argparse.Namespace,
    command: str,
    base: Mapping[str, Any],
    on_sample: Mapping[str, Any],
    variants: Variants,
) -> None:
    check_flags(arguments, ComparisonConfig)
    run = run_config(task, arguments, base, on_sample)
    name = (
        arguments.name
        or f"{run.corpus.label}-{re.sub(r'[^A-Za-z0-9._+-]+', '-', what)}-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    seeds = seeds_of(arguments)
    from kdray.api.experiments import compare_variants
    from kdray.experiments.documents import Provenance

    settings = variants(run)

    def started(engine: Engine) -> None:
        say(f"comparison {name} on {run.corpus.name}")
        show_students(run, engine, "students", len(settings) * len(seeds), arguments)

    document = compare_variants(
        name,
        settings,
        run,
        seeds=seeds,
        engine=engine_of(arguments),
        provenance=Provenance(arguments.corpus, command, command),
        cpus=arguments.cpus_per_trial,
        gpus=arguments.gpus_per_trial,
        started=started,
    ).result
    show_result(document, arguments, lambda: _show(document, run, name))


def _show(document: Mapping[str, Any], run: RunConfig, name: str) -> None:
    print(f"\n{heading(document)}")
    show_scores(document)
    page = Store(run.store).uri_of(f"sweeps/{name}/report.html")
    print(f"\nreport: {page}\n{seconds_so_far():.0f} s in all")
