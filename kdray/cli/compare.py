"""The program of a comparison in `sweeps/`: named settings on the same seeds, one table out."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kdray.cli.flags import (
    add_shared_flags,
    check_shared_flags,
    corpus_read,
    heading,
    run_config,
    seeds_of,
    student_rows,
)
from kdray.cli.main import guarded
from kdray.cli.show import show_plan, table
from kdray.config import RunConfig
from kdray.engines.ray.session import session
from kdray.secrets import without_passwords

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
    """Parse the flags, train every variant on every seed on Ray, print the table, exit with 0, 1 or 2.

    Args:
        what: Names the comparison, in its folder and in `--help`.
        task: The corpus that `--corpus auto` looks for.
        base: The run's settings.
        on_sample: Sections that replace those of `base` when the corpus is the bundled sample.
        variants: Run to what is compared: label to dotted overrides.
    """
    parser = argparse.ArgumentParser(
        description=f"Compare {what}: teachers once, then every student on several seeds.",
        epilog="The same command resumes a stopped comparison: cached artifacts are not trained again.",
    )
    add_shared_flags(parser, task)
    arguments = parser.parse_args(argv)
    command = without_passwords(shlex.join(["python", *sys.argv]))
    work = lambda: _compare(what, task, arguments, command, base, on_sample, variants)  # noqa: E731
    sys.exit(guarded(work, debug=arguments.debug))


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
    name = arguments.name or f"{run.corpus.name}-{what.replace(' ', '-')}-{time.strftime('%Y%m%d-%H%M%S')}"
    seeds = seeds_of(arguments)
    context = corpus_read(run)
    with session(arguments.address, allow_network=arguments.allow_network) as cluster:
        from kdray.engines.ray.engine import OnRay
        from kdray.engines.ray.plan import Trials, plan
        from kdray.experiments.compare import compare
        from kdray.experiments.documents import Provenance

        print(f"comparison {name} on {run.corpus.name}; dashboard: {cluster.dashboard or 'none'}", flush=True)
        engine, settings = OnRay(run.work), variants(run)
        students = Trials("students", len(settings) * len(seeds), arguments.cpus_per_trial, arguments.gpus_per_trial)
        show_plan(plan(run, engine, students))
        document = compare(
            name,
            settings,
            run,
            replace(context, engine=engine),
            seeds=seeds,
            cpus=arguments.cpus_per_trial,
            gpus=arguments.gpus_per_trial,
            provenance=Provenance(arguments.corpus, command, command),
        )
    print(f"\n{heading(document)}")
    print(table(student_rows(document)))
    page = context.store.uri_of(f"sweeps/{name}/report.html")
    print(f"\nreport: {page}\n{document['seconds']['total']:.0f} s in all")
