"""Shared parts of the programs in `sweeps/`: common flags, the run they describe, and the table of students."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext, redirect_stdout
from types import NoneType
from typing import Any, Literal, NoReturn, get_args, get_origin

from kdray.cli.engine import add_engine_flags, check_engine_flags
from kdray.cli.main import guarded, refused
from kdray.cli.runs import with_corpus
from kdray.cli.show import show_plan, table
from kdray.config import RunConfig, apply_overrides, merge, parse
from kdray.config.reference import meanings
from kdray.config.sweep import NO_FLAGS, Several
from kdray.corpora.finding import from_user
from kdray.engines import InProcess
from kdray.errors import ConfigError, near_flag
from kdray.records import at_least, bounds, options
from kdray.results import ROUGH_LATENCY, ComparisonResult, SweepResult, parse_result
from kdray.secrets import without_passwords
from kdray.store import NAME
from kdray.teachers import TeacherSettings

SMOKE_ROWS = 160
SMOKE = {"train.epochs": 1, "corpus.limit": SMOKE_ROWS, "outputs.quality_check": False}
SMOKE_SEEDS = 2
SEEDS = 3
_GROUPS = {  # titles of --help, and the settings below them
    "what is trained": ("corpus", "epochs", "seeds", "store", "name"),
    "search": ("trials", "seed", "depths", "sampling", "pruning", "candidates", "folds", "storage", "track"),
    "deployment": ("objectives", "under", "formats", "bundle"),
    "limits": ("max_hours", "max_gpu_hours", "max_failures"),
    "where it runs": ("cpus_per_trial", "gpus_per_trial"),
}


def add_flags(parser: argparse.ArgumentParser, kind: type[Several], task: str) -> None:
    """The settings of a sweep or comparison file as flags, and those that only a command has."""
    parser.usage = "%(prog)s [FLAGS] [key=value ...]"
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings of the run (run: in a file), e.g. student.layers=2"
    )
    groups = {title: parser.add_argument_group(title) for title in _GROUPS}
    group_of = {name: groups[title] for title, names in _GROUPS.items() for name in names}
    add_engine_flags(groups["where it runs"])
    told = meanings(kind) | {"corpus": f"auto ({task}, or sample without it), a name, or folder"}
    for name, field in kind.model_fields.items():
        if name in NO_FLAGS or name == "engine":
            continue
        flag, kinds = (
            f"--{name.replace('_', '-')}",
            [each for each in options(field.annotation) if each is not NoneType],
        )
        about: dict[str, Any] = {"help": _begun_small(told[name].rstrip(".")), "default": field.default}
        group = group_of.get(name, parser)
        if kinds == [bool]:
            group.add_argument(flag, action="store_true", **about)
        elif len(kinds) > 1 or kinds[0] is str:
            group.add_argument(flag, metavar=name.upper(), **about)
        elif get_origin(kinds[0]) is Literal:
            group.add_argument(flag, choices=get_args(kinds[0]), **about)
        else:
            group.add_argument(flag, type=kinds[0], metavar="N", **about)
    parser.set_defaults(corpus="auto")
    parser.add_argument(
        "--smoke", action="store_true", help="a tiny run that checks that everything works: 2 trials, 2 seeds, 160 rows"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document to standard output")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parser.add_argument("--verbose", action="store_true", help="log details, and the warnings of Ray itself")


def _begun_small(sentence: str) -> str:
    """
    >>> _begun_small("End the search"), _begun_small("URL of a database")
    ('end the search', 'URL of a database')
    """
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


def run_program(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    work: Callable[[argparse.Namespace, str], None],
    absent: Mapping[str, str] | None = None,
) -> NoReturn:
    """Parse the flags, do the work, exit with 0, 1 or 2. With `--json` standard output is left to `show_result`.

    Args:
        work: Takes the flags and the command.
        absent: Flags of other programs, and what to do here without them.
    """
    arguments, rest = parser.parse_known_args(argv)
    if flag := next((each.partition("=")[0] for each in rest if each.startswith("-")), None):
        near = near_flag(flag, parser.format_help(), otherwise="--help lists the flags.")
        sys.exit(refused(f"unknown argument {flag}; {(absent or {}).get(flag, near)}"))
    words = ["kdray", *sys.argv[1:]] if parser.prog.startswith("kdray ") else ["python", *sys.argv]
    command = without_passwords(shlex.join(words))

    def redirected() -> None:
        with redirect_stdout(sys.stderr) if arguments.json else nullcontext():
            work(arguments, command)

    sys.exit(guarded(redirected, debug=arguments.debug, verbose=arguments.verbose))


def show_result(document: Mapping[str, Any], arguments: argparse.Namespace, show: Callable[[], None]) -> None:
    """`show` what result.json holds, or print it as one document."""
    if arguments.json:
        print(json.dumps(document, ensure_ascii=False), file=sys.__stdout__)
    else:
        show()


def check_flags(arguments: argparse.Namespace, kind: type[Several]) -> None:
    """
    Raises:
        ConfigError: A number is out of range, the name cannot name a folder, or there is no cluster at `--address`.
    """
    if arguments.name is not None and not NAME.fullmatch(arguments.name):
        raise ConfigError(f"--name {arguments.name}: use letters, digits, '.', '_', '+' and '-' only.")
    for name, field in kind.model_fields.items():
        low, value = bounds(field)[0], getattr(arguments, name, None)
        if not low or not isinstance(value, int | float):
            continue
        least, is_open = float(low.removeprefix("above ")), low.startswith("above")
        if value < least or (is_open and value == least):
            raise ConfigError(f"--{name.replace('_', '-')} {value:g}: it must be {at_least(low)}.")
    check_engine_flags(arguments)


def without_sizes(given: Mapping[str, Any], argv: Sequence[str]) -> dict[str, Any]:
    """The defaults of flags that a file sets; with `--smoke` it does not set how much is trained.

    >>> without_sizes({"trials": 20, "pruning": "none"}, ["--smoke"])
    {'pruning': 'none'}
    """
    sizes = {"trials", "seeds", "candidates", "folds"} if "--smoke" in argv else set[str]()
    return {name: value for name, value in given.items() if name not in sizes}


def seeds_of(arguments: argparse.Namespace) -> range:
    return range(arguments.seeds or (SMOKE_SEEDS if arguments.smoke else SEEDS))


def run_config(
    task: str, arguments: argparse.Namespace, base: Mapping[str, Any], on_sample: Mapping[str, Any]
) -> RunConfig:
    """The base on the requested corpus, with the settings of the command line.

    Args:
        on_sample: Sections that replace those of `base` when the corpus is the bundled sample.
    """
    _check_keys(arguments.overrides, set(vars(arguments)) - set(RunConfig.model_fields))
    name = _corpus_name(task, arguments)
    plain = {**base, "corpus": {**base.get("corpus", {}), "name": name}}
    if name == "sample":
        plain |= on_sample
    if name == "folder" and base.get("corpus", {}).get("name") != "folder":
        plain = _without_first_tasks(plain, task)
    plain = apply_overrides(merge(plain, SMOKE if arguments.smoke else {}), arguments.overrides)
    flags = {"train.epochs": arguments.epochs, "store": arguments.store}
    whole = merge(plain, {key: value for key, value in flags.items() if value is not None})
    run = parse(whole, source="settings", overrides=arguments.overrides)
    return _with_small_beginnings(_not_above_its_rows(run, arguments)) if arguments.smoke else run


def _check_keys(overrides: Sequence[str], flags: Set[str]) -> None:
    """Refuse keys as a sweep file has them.

    >>> _check_keys(["run.train.epochs=2"], {"trials"})
    Traceback (most recent call last):
        ...
    kdray.errors.ConfigError: run.train.epochs=2: on the command line, leave out "run.": write train.epochs=2.
    """
    for each in overrides:
        if (name := each.partition("=")[0]) in flags:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{each}: {name} is a flag, not a setting of a run; write {flag}, as in --help.")
        if each.startswith("run."):
            raise ConfigError(f'{each}: on the command line, leave out "run.": write {each.removeprefix("run.")}.')
        if each.startswith("space."):
            raise ConfigError(f"{each}: a search space is set in the sweep's file, not on the command line.")


def _not_above_its_rows(run: RunConfig, arguments: argparse.Namespace) -> RunConfig:
    """Without the limit of `--smoke`, where a folder has no more rows."""
    if run.corpus.name != "folder" or any(each.startswith("corpus.limit=") for each in arguments.overrides):
        return run
    _, raw = from_user(run.corpus)
    if raw.tables["train"].num_rows > SMOKE_ROWS:
        return run
    return run.model_copy(update={"corpus": run.corpus.model_copy(update={"limit": None})})


def _without_first_tasks(plain: dict[str, Any], task: str) -> dict[str, Any]:
    """An intermediate task of the base fits the classes of `task` alone."""
    teachers: list[dict[str, Any]] = plain.get("teachers", [])
    if dropped := [each["name"] for each in teachers if each.get("init_from")]:
        names = ", ".join(dropped)
        print(
            f"on your folder these teachers are trained without init_from, which the base has for {task}: {names}",
            flush=True,
        )
        plain["teachers"] = [{key: value for key, value in each.items() if key != "init_from"} for each in teachers]
    return plain


def _corpus_name(task: str, arguments: argparse.Namespace) -> str:
    """The requested corpus, from the flag or `corpus.name`, with `auto` resolved."""
    given = [text for key, _, text in (each.partition("=") for each in arguments.overrides) if key == "corpus.name"]
    name = given[-1] if given else arguments.corpus
    return with_corpus(parse({}, source="--corpus"), task, quiet=False).corpus.name if name == "auto" else name


def method_settings(arguments: argparse.Namespace, run: RunConfig) -> dict[str, Any]:
    """The method's settings from the command line."""
    keys = [each.partition("=")[0] for each in arguments.overrides]
    given = {key.removeprefix("method.") for key in keys if key.startswith("method.")}
    given |= run.method.model_fields_set if "method" in keys else set()
    chosen = run.method.model_dump(mode="json", include=given)
    return {name: value for name, value in chosen.items() if name != "name"}


def _with_small_beginnings(run: RunConfig) -> RunConfig:
    """The same run with its teachers' intermediate tasks as small as its corpus."""

    def small(teacher: TeacherSettings) -> TeacherSettings:
        first = teacher.init_from
        if first is None:
            return teacher
        corpus = first.corpus.model_copy(update={"limit": SMOKE_ROWS})
        train = first.train.model_copy(update={"epochs": 1})
        return teacher.model_copy(update={"init_from": first.model_copy(update={"corpus": corpus, "train": train})})

    return run.model_copy(update={"teachers": tuple(small(teacher) for teacher in run.teachers)})


def say(sentence: str) -> None:
    print(sentence, flush=True)


def show_students(
    run: RunConfig, engine: Any, what: str, count: int, arguments: argparse.Namespace, *, confirmed: int = 0
) -> None:
    """On Ray: the plan with so many students.

    Args:
        confirmed: Students of the confirmation, at most.
    """
    if isinstance(engine, InProcess):
        return
    from kdray.engines.ray.plan import Trials

    students = Trials(what, count, arguments.cpus_per_trial, arguments.gpus_per_trial, confirmed)
    show_plan(run, engine, students)


def heading(document: Mapping[str, Any]) -> str:
    """The line above the table: the corpus, the note on it, and the metric."""
    corpus = document["corpus"]
    note = f" ({corpus['note']})" if corpus["note"] else ""
    return f"{corpus['name']}{note}: {document['metric']} on the test split"


def show_scores(document: Mapping[str, Any]) -> None:
    """Print the students of a sweep or a comparison, how their latency was measured, and the verdict."""
    from kdray.report import verdict_on_seeds

    print(table(student_rows(document)))
    if document.get("latency") is None:
        print(ROUGH_LATENCY)
    result = parse_result(document)
    assert isinstance(result, SweepResult | ComparisonResult)
    print(f"\n{verdict_on_seeds(result)}")


def student_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of students, teachers and the majority class, as a terminal shows it."""
    rows = [
        {
            "student": row["label"],
            "mean": row["test"]["mean"],
            "std": row["test"]["std"],
            "validation": row["validation"]["mean"],
            "vs no-KD": row["difference"]["mean"] if row["difference"] else None,
            "p": row["difference"]["p_value"] if row["difference"] else None,
            "retention": row["retention"],
            "distillation ratio": row["distillation_ratio"],
            "parameters": row["parameters"],
            "latency ms": row["latency_ms"],
        }
        for row in document["confirmation"]
    ]
    rows += [
        {
            "student": "teacher" if t["name"] == "teacher" else f"teacher {t['name']}",
            "mean": t["test"],
            "validation": t["validation"],
            "parameters": t["parameters"],
            "latency ms": t["latency_ms"],
        }
        for t in document["teachers"]
    ]
    rows.append({"student": "majority class", "mean": document["teachers"][0]["majority"]})
    return rows
