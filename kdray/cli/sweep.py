"""The program that every `sweeps/*.py` is: flags in, a sweep, one table out."""

import argparse
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kdray.cli.engine import engine_of
from kdray.cli.flags import (
    add_flags,
    check_flags,
    heading,
    method_settings,
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
from kdray.config import RunConfig, SweepConfig, dotted, load_sweep
from kdray.engines import Engine
from kdray.errors import ConfigError, RunError
from kdray.log import seconds_so_far
from kdray.methods import method_named
from kdray.results import ExportedLatency
from kdray.secrets import without_passwords
from kdray.stages import check_depths
from kdray.store import Store
from kdray.tuning.trackers import trackers_of

Space = Callable[[Any, RunConfig], dict[str, Any]]
Starts = Callable[[RunConfig], Sequence[Mapping[str, Any]]]
SMOKE_TRIALS, SAMPLE_TRIALS, FULL_TRIALS = 2, 12, 8


@dataclass(frozen=True)
class StudentChoices:
    """Students that a space chooses among.

    Attributes:
        shapes: Each as dotted settings; an empty one is the run's own.
        rest: Space and starts without them; None where they are the whole ones.
    """

    shapes: Sequence[Mapping[str, Any]] = ({},)
    rest: tuple[Space, Starts] | None = None


NO_CHOICES = StudentChoices()


@dataclass(frozen=True)
class _Searched:
    task: str
    base: Mapping[str, Any]
    on_sample: Mapping[str, Any]
    space: Space
    starts: Starts
    students: StudentChoices
    of_outside: Callable[[RunConfig], Sequence[RunConfig]]


def sweep_main(
    task: str,
    *,
    base: Mapping[str, Any],
    on_sample: Mapping[str, Any],
    space: Space,
    starts: Starts,
    students: StudentChoices = NO_CHOICES,
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    defaults: Mapping[str, Any] | None = None,
    of_outside: Callable[[RunConfig], Sequence[RunConfig]] = lambda run: (),
) -> None:
    """Parse the flags, run the sweep, print the table, exit with 0, 1 or 2.

    Args:
        task: The corpus that `--corpus auto` looks for.
        base: The run's settings.
        on_sample: Sections that replace those of `base` when the corpus is the bundled sample.
        space: Optuna trial and run to dotted overrides.
        starts: Run to the parameters to try first, each `{"label", "params"}`; the first are the defaults.
        students: The choices of `student.*` in the space, which are measured before a search with a limit.
        prog: The command as --help shows it, for a sweep file, whose keys the flags replace.
        defaults: Of flags, which a sweep file sets.
        of_outside: Run to the runs of the space by methods from outside, which are checked before the search.
    """
    searched = _Searched(task, base, on_sample, space, starts, students, of_outside)
    corpus = (defaults or {}).get("corpus", "auto")
    parser = _parser(task, prog=prog, corpus=None if corpus == "auto" else f"the corpus {corpus}")
    parser.set_defaults(**defaults or {})
    run_program(parser, argv, partial(_sweep, searched))


def sweep_file(path: Path, argv: Sequence[str]) -> None:
    """The sweep of a file; flags replace its settings.

    Raises:
        ConfigError: The file, or its space for this run, is not as it must be.
    """
    given = load_sweep(path)

    def starts_of(config: SweepConfig, run: RunConfig) -> list[dict[str, Any]]:
        try:
            given.check(run)
            return config.starts(run)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}" if str(error).startswith("space") else str(error)) from error

    def starts(run: RunConfig) -> list[dict[str, Any]]:
        return starts_of(given, run)

    def rest_starts(run: RunConfig) -> list[dict[str, Any]]:
        return starts_of(rest, run)

    rest = given.without_student()
    students = NO_CHOICES if rest == given else StudentChoices(given.shapes(), (rest.suggest, rest_starts))
    sweep_main(
        given.task,
        base=given.base(),
        on_sample=given.on_sample,
        space=given.suggest,
        starts=starts,
        students=students,
        argv=argv,
        prog=f"kdray sweep {path}",
        defaults=without_sizes(given.flags(), argv),
        of_outside=given.of_outside,
    )


def print_help() -> None:
    """Of `kdray sweep` without a file."""
    _parser("a corpus", prog="kdray sweep FILE").print_help()


def _parser(task: str, *, corpus: str | None = None, prog: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog,
        description=f"Search for the best student on {corpus or task}: teachers once, many students, several seeds at "
        "the end." + (" Flags replace the keys of the file." if prog else ""),
        epilog="The same command on a cluster: add --address auto. --resume continues a stopped sweep.\n\nexample:\n"
        "  kdray sweep sweeps/sample.yaml --engine local --trials 3 --seeds 1 corpus.limit=300\n"
        "  (300 rows are quick, and too few to learn from)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, SweepConfig, task)
    parser.add_argument("--retry-failed", action="store_true", help="with --resume: try failed trials again first")
    parser.add_argument("--resume", action="store_true", help="continue the sweep --name, or the newest without a name")
    return parser


def _sweep(searched: _Searched, arguments: argparse.Namespace, command: str) -> None:
    check_flags(arguments, SweepConfig)
    if arguments.retry_failed and not arguments.resume:
        raise ConfigError("--retry-failed requires --resume.")
    limit, formats, folds = _limit(arguments.under), _formats(arguments.formats), _folds(str(arguments.folds))
    run = run_config(searched.task, arguments, searched.base, searched.on_sample)
    students = searched.students
    space, starts = students.rest if limit is not None and students.rest else (searched.space, searched.starts)
    space = keeping(space, method_settings(arguments, run))
    on_disk = Store(run.store).is_local
    trackers = trackers_of(arguments.track, on_disk=on_disk)
    objectives, depths = _objectives(arguments.objectives), _depths(arguments.depths, run, is_limited=limit is not None)
    first = list(starts(run))
    if limit is None:
        first = [{**each, "params": _with_depth(each["params"], run, depths)} for each in first]
    trials = arguments.trials or usual_trials(run, first, is_smoke=arguments.smoke)
    seeds = seeds_of(arguments)
    if arguments.storage or not on_disk:
        from kdray.experiments.study import check_place, check_storage

        check_place(arguments.storage, on_disk=on_disk)
        check_storage(arguments.storage)
    name = _name(run, arguments)
    from kdray.api.experiments import search_settings
    from kdray.experiments.budget import Budget
    from kdray.experiments.documents import Provenance
    from kdray.experiments.folds import most_in_folds
    from kdray.experiments.latency import changed
    from kdray.experiments.settings import Shapes, SweepSettings
    from kdray.experiments.sweep import most_candidates

    settings = SweepSettings(
        name=name,
        space=lambda trial: _suggested(trial, space, run, depths),
        starts=first,
        trials=trials,
        seed=arguments.seed,
        cpus=arguments.cpus_per_trial,
        gpus=arguments.gpus_per_trial,
        confirm_start=run.corpus.name != "sample",  # on the sample, short runs matter more than controls
        candidates=arguments.candidates,
        folds=folds,
        storage=arguments.storage,
        pruning=arguments.pruning,
        sampling=arguments.sampling,
        objectives=objectives,
        retry_failed=arguments.retry_failed,
        trackers=trackers,
        budget=Budget(arguments.max_hours, arguments.max_gpu_hours, arguments.max_failures),
        shapes=Shapes(
            [{**depth, **shape} for depth in _depth_shapes(depths) for shape in students.shapes],
            lambda trial, shape: space(trial, changed(run, shape)),
        ),
        formats=formats,
        limit_ms=limit,
        bundle=arguments.bundle,
    )

    def started(engine: Engine) -> None:
        what = f"sweep {name}: {trials} trials on {_corpus_in_words(run)}"
        say(f"{what}; to resume after a stop: {_resume(command, name)}")
        confirmed = most_candidates(settings, run) * len(seeds) + most_in_folds(settings)
        show_students(run, engine, "trials", trials, arguments, confirmed=confirmed)

    try:
        found = search_settings(
            settings,
            run,
            seeds=seeds,
            engine=engine_of(arguments),
            provenance=Provenance(arguments.corpus, command, _resume(command, name)),
            started=started,
            others=searched.of_outside(run),
        )
    except KeyboardInterrupt as stop:
        begun = arguments.storage or Store(run.store).exists(f"sweeps/{name}/study.db")
        stop.args = (
            f"to resume: {_resume(command, name)}"
            if begun
            else "the sweep had not begun; give the same command again.",
        )
        raise
    document = found.result
    show_result(document, arguments, lambda: _show(document, run, arguments.storage))
    if failed := [trial for trial in document["trials"] if trial["state"] == "failed"]:
        numbers = ", ".join(str(trial["number"]) for trial in failed)
        again = f"{_resume(command.replace(' --retry-failed', ''), name)} --retry-failed"
        raise RunError(f"results are written, but trials failed ({numbers}); to retry them: {again}")


def _corpus_in_words(run: RunConfig) -> str:
    return f"folder {run.corpus.path}" if run.corpus.path is not None else run.corpus.name


def usual_trials(run: RunConfig, first: Sequence[Any], *, is_smoke: bool) -> int:
    """How many trials a sweep has, where `--trials` is not given; on the sample enough for some to be stopped early."""
    if is_smoke:
        return SMOKE_TRIALS
    return max(SAMPLE_TRIALS if run.corpus.name == "sample" else FULL_TRIALS, len(first))


def _objectives(given: str) -> tuple[Any, ...]:
    names = tuple(given.split(","))
    if names[0] != "metric" or len(set(names)) < len(names) or not set(names) <= {"metric", "latency", "parameters"}:
        raise ConfigError(
            f"--objectives {given}: give metric first, then latency, parameters or both, separated by commas."
        )
    return names


def _folds(given: str) -> Any:
    """The number of folds, or `auto`.

    >>> _folds("auto"), _folds("3")
    ('auto', 3)
    """
    if given == "auto" or (given.isdecimal() and (given == "0" or 2 <= int(given) <= 100)):
        return given if given == "auto" else int(given)
    raise ConfigError(f"--folds {given}: give 0, auto, or a number from 2 to 100.")


def _limit(given: str | None) -> float | None:
    """Milliseconds.

    >>> _limit("2.5ms"), _limit("0.1s")
    (2.5, 100.0)
    """
    if given is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s)", given.strip())
    if found is None or float(found[1]) == 0:
        raise ConfigError(f"--under {given}: expected a time above 0 such as 2ms, 0.5ms or 0.01s.")
    return float(found[1]) * (1000 if found[2] == "s" else 1)


def _formats(given: str) -> tuple[Any, ...]:
    names = tuple(given.split(","))
    if len(set(names)) < len(names) or not set(names) <= {"onnx", "onnx-int8"}:
        raise ConfigError(f"--formats {given}: give onnx, onnx-int8, or both, separated by a comma.")
    return names


def _depth_shapes(depths: Sequence[int]) -> list[dict[str, Any]]:
    return [{"student.layers": depth} for depth in depths] or [{}]


def _depths(given: str | None, run: RunConfig, *, is_limited: bool) -> tuple[int, ...]:
    """The student's depths to search over; empty if only the base's is used.

    Args:
        is_limited: Trial 0 may have another depth than the base.

    Raises:
        ConfigError: Not numbers, without the base's depth, or above the encoder's layers.
    """
    if given is None:
        return ()
    parts = given.split(",")
    if not all(part.isdigit() for part in parts) or len(set(parts)) < len(parts):
        raise ConfigError(f"--depths {given}: give different numbers of layers, separated by commas.")
    depths = tuple(map(int, parts))
    if run.student.layers not in depths and not is_limited:
        raise ConfigError(f"--depths {given} must hold student.layers = {run.student.layers}: trial 0 is the defaults.")
    for depth in depths:
        check_depths(_of_depth(run, depth))
    return depths


def _of_depth(run: RunConfig, depth: int) -> RunConfig:
    return run.model_copy(update={"student": run.student.model_copy(update={"layers": depth})})


def _with_depth(params: Mapping[str, Any], run: RunConfig, depths: Sequence[int]) -> dict[str, Any]:
    return {"student_layers": run.student.layers, **params} if depths else dict(params)


def _suggested(trial: Any, space: Space, run: RunConfig, depths: Sequence[int]) -> dict[str, Any]:
    """The space's overrides; the depth is suggested first, because the assistant's depth depends on it."""
    if not depths:
        return space(trial, run)
    depth = trial.suggest_categorical("student_layers", depths)
    return {"student.layers": depth, **space(trial, _of_depth(run, depth))}


def keeping(space: Space, given: Mapping[str, Any]) -> Space:
    """The same space, with the command line's method settings applied to every method that has them.

    A setting that the space suggests overrides them.
    """

    def kept(trial: Any, run: RunConfig) -> dict[str, Any]:
        chosen = dotted(space(trial, run))
        fields = method_named(chosen.get("method.name", run.method.name)).model_fields
        shared = {f"method.{key}": value for key, value in given.items() if key in fields}
        return {**shared, **chosen}

    return kept


def _name(run: RunConfig, arguments: argparse.Namespace) -> str:
    if arguments.storage and arguments.name:
        return arguments.name  # every driver of it is started by the same command
    store = Store(run.store)
    there = store.children("sweeps")
    if not arguments.storage:
        there = [name for name in there if store.exists(f"sweeps/{name}/study.db")]
    if arguments.resume:
        mine = [
            n for n in there if n == arguments.name or (not arguments.name and n.startswith(f"{run.corpus.label}-"))
        ]
        if not mine:
            if not arguments.name:
                raise ConfigError(
                    f"--resume: store {run.store!r} holds no sweep named {run.corpus.label}-TIME; "
                    + (f"add --name for one of {', '.join(there)}, or " if there else "")
                    + "leave --resume out to start one, or name another store with --store."
                )
            from kdray.experiments.replay import no_sweep

            raise no_sweep(store, arguments.name)
        return mine[-1]
    if arguments.name in there:
        raise ConfigError(f"sweep {arguments.name!r} is in the store already; use --resume or choose another --name.")
    return arguments.name or f"{run.corpus.label}-{time.strftime('%Y%m%d-%H%M%S')}"


def _resume(command: str, name: str) -> str:
    plain = command.replace(" --resume", "")
    return f"{plain} --resume" if f"--name {name}" in plain else f"{plain} --name {name} --resume"


def _show_latency(latency: Mapping[str, Any]) -> None:
    print(ExportedLatency.model_validate(latency).how())
    if (bundle := latency["bundle"]) is not None:
        allowed = "" if latency["limit_ms"] is None else f", allowed are {latency['limit_ms']:g} ms"
        print(
            f"bundle: {bundle['folder']} ({bundle['format']}, trial {bundle['trial']}, {bundle['megabytes']:.0f} MB) "
            f"takes {bundle['p50_ms']:.2f} ms{allowed}; to measure it again: {timing_command(bundle)}"
        )
        for name, ms in latency["teachers"].items():
            print(
                f"teacher {name}, exported (onnx, {latency['teacher_megabytes'][name]:.0f} MB): {ms:.2f} ms, "
                f"{ms / bundle['p50_ms']:.1f} times as long"
            )
    for warning in filter(None, {latency["warning"], (bundle or {}).get("warning")}):
        print(f"kdray: {warning}", file=sys.stderr)


def timing_command(bundle: Mapping[str, Any]) -> str:
    """The command that times a bundle and its student, whose corpus has the texts."""
    store = Path(bundle["folder"]).parents[2]
    students = sorted(store.glob(f"distill/*-{bundle['student'][:12]}"))
    return shlex.join(["kdray", "bench", bundle["folder"], *map(str, students)])


def _show(document: Mapping[str, Any], run: RunConfig, storage: str | None) -> None:
    print(f"\n{heading(document)}, {len(document['trials'])} trials")
    show_scores(document)
    for trial in (t for t in document["trials"] if t["state"] == "failed"):
        print(f"trial {trial['number']} failed: {trial['error']}")
    if document["stopped"]:
        print(f"the search ended early: {document['stopped']}; --resume continues it")
    if (latency := document.get("latency")) is not None:
        _show_latency(latency)
    page = Store(run.store).uri_of(f"sweeps/{document['name']}/report.html")
    if document["best"] is not None:
        places = {"--store": run.store, "--storage": storage}
        where = [word for flag, place in places.items() if place not in (None, "store") for word in (flag, place)]
        best = shlex.join(["kdray", "best", document["name"], *where, "--export", f"{document['name']}-student"])
        print(f"\nto save the student: {without_passwords(best)}")
    print(f"\nreport: {page}\n{seconds_so_far():.0f} s in all")
