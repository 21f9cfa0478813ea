"""The program of a comparison in `sweeps/`: named settings on the same seeds, one table out."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kdray.cli.engine import engine_of
from kdray.cli.flags import (
    add_shared_flags,
    check_shared_flags,
    heading,
    run_config,
    say,
    seeds_of,
    show_scores,
    show_students,
)
from kdray.cli.main import Parser, guarded
from kdray.config import RunConfig
from kdray.engines import Engine
from kdray.log import seconds_so_far
from kdray.secrets import without_passwords
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
) -> None:
    """Parse the flags, train every variant on every seed, print the table, exit with 0, 1 or 2.

    Args:
        what: Names the comparison, in its folder and in `--help`.
        task: The corpus that `--corpus auto` looks for.
        base: The run's settings.
        on_sample: Sections that replace those of `base` when the corpus is the bundled sample.
        variants: Run to what is compared: label to dotted overrides.
    """
    parser = Parser(
        description=f"Compare {what}: teachers once, then every student on several seeds.",
        epilog="The same command resumes a stopped comparison: cached artifacts are not trained again.",
    )
    add_shared_flags(parser, task)
    arguments = parser.parse_args(argv)
    command = without_passwords(shlex.join(["python", *sys.argv]))
    work = lambda: _compare(what, task, arguments, command, base, on_sample, variants)  # noqa: E731
    sys.exit(guarded(work, debug=arguments.debug, verbose=arguments.verbose))


def _compare(
    what: str,
    task: str,
    arguments: argparse.Namespace,
    command: str,
    base: Mapping[str, Any],
    on_sample: Mapping[str, Any],
    variants: Variants,
) -> None:
    check_shared_flags(arguments)
    run = run_config(task, arguments, base, on_sample)
    name = arguments.name or f"{run.corpus.label}-{what.replace(' ', '-')}-{time.strftime('%Y%m%d-%H%M%S')}"
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
    print(f"\n{heading(document)}")
    show_scores(document)
    page = Store(run.store).uri_of(f"sweeps/{name}/report.html")
    print(f"\nreport: {page}\n{seconds_so_far():.0f} s in all")
