"""The parser, and the one place where errors become exit codes."""

import argparse
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import kdray
from kdray.cli.deployed import add_predict, add_serve, predict_paths, serve_model, share
from kdray.cli.engine import add_engine_flags, check_engine_flags, engine_of, user_path
from kdray.cli.overview import COMMANDS, overview
from kdray.cli.papers import add_papers, show_papers
from kdray.errors import (
    ConfigError,
    KdrayError,
    RunError,
    Terminated,
    did_you_mean,
    missing_package,
    near_flag,
    near_path,
)
from kdray.interrupts import ended_by_sigterm
from kdray.log import configure

STAGES = ("run", "prune", "teach", "outputs", "distill", "evaluate")

STORE_ACTIONS = {
    "ls": "list the artifacts: stage, name, digest, size, age, what uses them",
    "du": "bytes by stage, drafts, work, Ray's logs and sweeps",
    "gc": "list leftovers of killed and finished commands; remove them with --delete",
    "verify": "compare every file with its digest and list damaged ones",
}

OF_FILES = ("sweep", "compare")  # commands whose other flags are those of the file
FORMATS = ("hf", "onnx", "onnx-int8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 failed run, 2 bad input)."""
    given = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if given[:1] == ["distil"]:  # the command's name in earlier versions
        given[0] = "distill"
    parser, commands = _parsers()
    if "_ARGCOMPLETE" in os.environ:  # a shell wants the words that may follow
        import argcomplete

        argcomplete.autocomplete(parser)
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        hint = did_you_mean(given[0], COMMANDS, otherwise="kdray --help lists the commands.")
        return refused(f"unknown command {given[0]!r}; {hint}")
    arguments, rest = parser.parse_known_args(given)
    if arguments.command in STAGES and arguments.store is not None:
        arguments.overrides.append(f"store={arguments.store}")
    if rest and arguments.command in (*STAGES, "papers") and not any(word.startswith("-") for word in rest):
        arguments.overrides += rest  # settings after an option, which argparse does not accept
    elif rest and arguments.command not in OF_FILES:
        setting = "; write settings without --, such as train.epochs=2" if arguments.command in STAGES else ""
        otherwise = f"kdray {arguments.command} --help lists what it takes{setting}."
        flag = next((word.partition("=")[0] for word in rest if word.startswith("-")), None)
        if flag is None:
            return refused(f"too many arguments: {' '.join(rest)}; {otherwise}")
        near = near_flag(flag, commands[arguments.command].format_help(), otherwise=otherwise)
        return refused(f"unknown argument {flag}; {near}")
    return guarded(lambda: _dispatch(arguments, rest), debug=arguments.debug, verbose=arguments.verbose)


def guarded(work: Callable[[], Any], *, debug: bool, verbose: bool = False) -> int:
    """Run `work`; a KdrayError becomes one sentence and its exit code, anything else a sentence and 1.

    Args:
        debug: Also print the traceback.
        verbose: Also log details, and what Ray itself writes.
    """
    configure("DEBUG" if verbose else "INFO")
    try:
        with ended_by_sigterm():
            work()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, head for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KdrayError as error:
        return _say(error, str(error), error.exit_code, debug=debug)
    except KeyboardInterrupt as stop:
        how = stop.args[0] if stop.args else "rerun the same command to resume."
        print(f"kdray: interrupted; {how}", file=sys.stderr)  # no full stop after a command, which is copied
        return 143 if isinstance(stop, Terminated) else 130
    except SystemExit as stop:
        if _is_of_the_command(stop):
            raise
        return _say(stop, f"code from outside of kdray ended the command (SystemExit: {stop.code})", 1, debug=debug)
    except ModuleNotFoundError as error:
        if (told := missing_package(error)) is None:
            return _say(error, f"{error} (--debug shows where)", 1, debug=debug)
        return _say(error, str(told), told.exit_code, debug=debug)
    except Exception as error:  # the last resort: a sentence instead of a traceback
        return _say(error, f"{type(error).__name__}: {error} (--debug shows where)", 1, debug=debug)
    return 0


def _is_of_the_command(stop: SystemExit) -> bool:
    """Whether the command line itself ended: after --help, a wrong flag or a sweep."""
    frames = [frame for frame, _ in traceback.walk_tb(stop.__traceback__)]
    return frames[-1].f_globals["__name__"].partition(".")[0] in ("argparse", "kdray")


def _say(error: BaseException, sentence: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    print(f"kdray: {sentence}", file=sys.stderr)
    return code


def refused(sentence: str) -> int:
    """Print why a command line is refused; returns the exit code."""
    print(f"kdray: {sentence}", file=sys.stderr)
    return 2


def _parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of kdray, and those of its commands."""
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document to standard output")
    common.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    common.add_argument("--verbose", action="store_true", help="log details, and the warnings of Ray itself")
    parser = _Parser("kdray", usage="kdray COMMAND ...; kdray --help lists the commands")
    parser.add_argument("--version", action="version", version=f"kdray {kdray.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, prog="kdray", parser_class=Parser)
    for name in STAGES:
        stage = commands.add_parser(name, parents=[common])
        stage.add_argument("file", type=user_path, help="run file (YAML), for example recipes/rte.yaml")
        stage.add_argument(
            "overrides", nargs="*", default=[], metavar="key=value", help="for example method.temperature=4"
        )
        stage.add_argument("--store", help="folder or URI, as store=...")
        add_engine_flags(stage)
        if name == "prune":
            stage.add_argument("--show", type=int, default=3, metavar="N", help="texts to show, before and after (3)")
    for name in OF_FILES:
        several = commands.add_parser(name, add_help=False)
        several.set_defaults(debug=False, verbose=False)
        several.add_argument("file", type=user_path, nargs="?", help=f"for example {COMMANDS[name][1].split()[2]}")
    report = commands.add_parser("report", parents=[common])
    report.add_argument("store", nargs="?", default="store", help="folder or URI (default store)")
    report.add_argument("pair", nargs="*", metavar="NAME", help="two sweeps or runs, for a page with both side by side")
    _add_store(commands, common)
    trial = commands.add_parser("trial", parents=[common])
    trial.add_argument("sweep", help="name of the sweep")
    trial.add_argument("number", type=int, help="of the trial")
    best = commands.add_parser("best", parents=[common])
    best.add_argument("sweep", nargs="?", help="name of the sweep")
    best.add_argument("--export", type=user_path, metavar="DIR", help="save the student in DIR, a new folder")
    best.add_argument("--overwrite", action="store_true", help="replace DIR if it is a saved student")
    for one in (trial, best):
        one.add_argument("--store", default="store", help="folder or URI (default store)")
        one.add_argument("--storage", help="URL of the study's database, if the sweep has one")
    add_engine_flags(trial)
    _add_export(commands, common)
    add_predict(commands, common)
    add_serve(commands, common)
    _add_bench(commands, common)
    add_papers(commands, common)
    methods = commands.add_parser("methods", parents=[common])
    methods.add_argument("name", nargs="?", help="of one method, to read all about it: kd, or my_file.py:MyKD")
    commands.add_parser("corpora", parents=[common])
    one_of = commands.add_parser("settings", parents=[common])
    one_of.add_argument("prefix", nargs="?", default="", help="for example train.epochs, method.kd, my_file.py:MyKD")
    doctor = commands.add_parser("doctor", parents=[common])
    doctor.add_argument("--ray", action="store_true", help="also start a local Ray and end it again")
    doctor.add_argument("--address", metavar="HOST:PORT", help="also connect to the cluster with this head")
    for name, command in commands.choices.items():
        command.description = f"kdray {name}: {COMMANDS[name][0]}."
        command.epilog = f"example:\n  {COMMANDS[name][1]}\n"
        command.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser, commands.choices


class Parser(argparse.ArgumentParser):
    """Refuses a command line in one sentence, without its usage; flags are not abbreviated."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **given})

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"invalid int value: (.*)", r"expected a whole number, found \1", message)
        message = re.sub(r"invalid float value: (.*)", r"expected a number, found \1", message)
        if found := re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
            flag, given, choices = found[1], found[2], found[3].replace("'", "").split(", ")
            near = did_you_mean(given, choices, otherwise=f"allowed are {', '.join(choices)}.")
            inside = [each for each in choices if given in each]
            near = f"did you mean {inside[0]}?" if len(inside) == 1 else near
            sys.exit(refused(f"{flag} {given} is unknown; {near}"))
        sys.exit(refused(f"{message.removeprefix('argument ')}; --help lists what is allowed."))


class _Parser(Parser):
    """With the commands by what they are for."""

    def format_help(self) -> str:
        return overview()


def helps() -> dict[str, str]:
    """The help of kdray and of every command."""
    parser, commands = _parsers()
    return {"kdray": parser.format_help()} | {f"kdray {name}": each.format_help() for name, each in commands.items()}


def _add_store(commands: Any, common: argparse.ArgumentParser) -> None:
    store = commands.add_parser("store")
    actions = store.add_subparsers(dest="action", required=True)
    for name, what in STORE_ACTIONS.items():
        action = actions.add_parser(name, help=what, description=f"kdray store {name}: {what}.", parents=[common])
        action.epilog = f"example:\n  kdray store {name} store\n"
        action.formatter_class = argparse.RawDescriptionHelpFormatter
        action.add_argument("store", nargs="?", default="store", help="folder or URI (default store)")
        if name == "gc":
            action.add_argument("--delete", action="store_true", help="remove what is listed (default: only list it)")
            action.add_argument(
                "--older-than",
                type=float,
                metavar="HOURS",
                help="hours without a change after which something counts as abandoned (default 24; in a bucket 168)",
            )


def _add_export(commands: Any, common: argparse.ArgumentParser) -> None:
    export = commands.add_parser("export", parents=[common])
    export.add_argument("student", help="folder of Student.save, of a student in a store, or of transformers")
    export.add_argument("--format", choices=FORMATS, default="onnx", help="(default onnx)")
    export.add_argument("--out", type=user_path, required=True, metavar="DIR", help="a new folder")
    export.add_argument("--overwrite", action="store_true", help="replace DIR if it is a bundle")
    export.add_argument("--tolerance", type=float, default=0.5, help="points that int8 may lose (default 0.5)")
    export.add_argument("--rows", type=user_path, metavar="FILE", help="rows to compare on (default: validation rows)")
    export.add_argument("--calibrate", action="store_true", help="fit a temperature for the probabilities on the rows")
    export.add_argument("--abstain-below", type=share, metavar="P", help="no label for rows of lower confidence")
    export.add_argument("--reduce-range", action="store_true", help="7-bit weights, for processors without VNNI")


def _add_bench(commands: Any, common: argparse.ArgumentParser) -> None:
    bench = commands.add_parser("bench", parents=[common])
    bench.add_argument("models", nargs="+", metavar="MODEL", help="bundle, student or folder; FOLDER@bf16 runs in bf16")
    bench.add_argument("--texts", type=Path, metavar="FILE", help="rows to time (default: validation rows)")
    bench.add_argument("--batches", default="1,8,32", help="rows classified at once (default 1,8,32)")
    bench.add_argument("--threads", help="numbers of threads (default: 1, and all cores)")
    bench.add_argument("--seconds", type=float, default=2.0, help="for each row of the table (default 2)")
    bench.add_argument("--device", default="cpu", help="cuda: students and folders on the GPU (default cpu)")


def _dispatch(arguments: argparse.Namespace, rest: list[str]) -> None:
    command = arguments.command
    if command in OF_FILES:
        _run_file(command, arguments.file, rest)
        return
    document = _COMMANDS.get(command, _stage)(arguments)
    if arguments.json:
        print(json.dumps(document, ensure_ascii=False))
    if isinstance(document, dict) and "failed" in document:  # after all that there was to print
        raise RunError(str(cast("dict[str, Any]", document)["failed"]))


def _stage(arguments: argparse.Namespace) -> Any:
    from kdray.cli.runs import run_command

    return run_command(arguments)


def _report(arguments: argparse.Namespace) -> Any:
    from kdray.api.reports import compare_reports, write_reports

    if len(arguments.pair) not in (0, 2):
        raise ConfigError(
            f"kdray report STORE takes no name or two names, found {len(arguments.pair)}; the names are "
            "those of sweeps and runs: kdray report store rte-1 rte-2."
        )
    if arguments.pair:
        document = compare_reports(arguments.store, *arguments.pair)
        if not arguments.json:
            print(f"open {document['page']}")
        return document
    document = write_reports(arguments.store)
    if not arguments.json:
        print(f"{len(document['pages'])} pages; open {document['index']}")
    return document


def _store(arguments: argparse.Namespace) -> Any:
    from kdray.cli.store import show_leftovers, show_listing, show_usage, show_verification

    if arguments.action == "gc":
        return show_leftovers(
            arguments.store, delete=arguments.delete, older_than=arguments.older_than, quiet=arguments.json
        )
    show = {"ls": show_listing, "du": show_usage, "verify": show_verification}[arguments.action]
    return show(arguments.store, quiet=arguments.json)


def _methods(arguments: argparse.Namespace) -> Any:
    from kdray.cli.listing import show_methods

    return show_methods(arguments.name, quiet=arguments.json)


def _corpora(arguments: argparse.Namespace) -> Any:
    from kdray.cli.listing import show_corpora

    return show_corpora(quiet=arguments.json)


def _settings(arguments: argparse.Namespace) -> Any:
    from kdray.cli.listing import show_settings

    return show_settings(arguments.prefix, quiet=arguments.json)


def _doctor(arguments: argparse.Namespace) -> Any:
    from kdray.cli.doctor import show_machine

    return show_machine(ray=arguments.ray, address=arguments.address, quiet=arguments.json)


def _trial(arguments: argparse.Namespace) -> Any:
    from kdray.api.trials import run_trial

    check_engine_flags(arguments)
    engine = engine_of(arguments)
    found = run_trial(
        arguments.sweep, arguments.number, store=arguments.store, storage=arguments.storage, engine=engine
    )
    return _table_of(found, arguments)


def _best(arguments: argparse.Namespace) -> Any:
    from kdray.api.trials import best_trial, sweeps_of

    if arguments.sweep is None:
        known = ", ".join(sweeps_of(arguments.store)) or "none; kdray sweep FILE makes one"
        raise ConfigError(f"kdray best needs the name of a sweep; store {arguments.store!r} holds {known}.")
    names = ("store", "storage", "export", "overwrite")
    found = best_trial(arguments.sweep, **{name: getattr(arguments, name) for name in names})
    return _table_of(found, arguments)


def _table_of(found: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """`found`, printed as a table of one row without --json."""
    if not arguments.json:
        from kdray.cli.show import table

        print(table([{key: value for key, value in found.items() if key not in ("sweep", "metric", "settings")}]))
    return found


def _export(arguments: argparse.Namespace) -> Any:
    from kdray.cli.deploy import export_student

    names = ("format", "out", "rows", "tolerance", "reduce_range", "calibrate", "abstain_below", "overwrite")
    return export_student(arguments.student, **{name: getattr(arguments, name) for name in names}, quiet=arguments.json)


def _bench(arguments: argparse.Namespace) -> Any:
    from kdray.cli.deploy import show_benchmark

    names = ("texts", "batches", "threads", "seconds", "device")
    return show_benchmark(arguments.models, **{name: getattr(arguments, name) for name in names}, quiet=arguments.json)


_COMMANDS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "report": _report,
    "store": _store,
    "trial": _trial,
    "best": _best,
    "export": _export,
    "predict": predict_paths,
    "serve": serve_model,
    "bench": _bench,
    "papers": show_papers,
    "methods": _methods,
    "corpora": _corpora,
    "settings": _settings,
    "doctor": _doctor,
}


def _run_file(command: str, file: Path | None, rest: list[str]) -> None:
    """A file of settings, or a program of its own with its own flags, which this process becomes."""
    example = COMMANDS[command][1].split()[2]
    if file is None and not {"-h", "--help"} & set(rest):
        raise ConfigError(f"kdray {command} needs a file, for example {example}.")
    # of a name that is too long, Path.is_file raises
    if file is not None and not os.path.isfile(file):  # noqa: PTH113
        if os.path.isdir(file):  # noqa: PTH112
            raise ConfigError(f"{file} is a folder; give a file, for example {example}.")
        if later := next((word for word in rest if word.endswith((".yaml", ".yml", ".py"))), None):
            raise ConfigError(f"{file} stands where the file must: write kdray {command} {later}, then the flags.")
        if not file.suffix and any(word.startswith("--") and "=" not in word for word in rest):
            raise ConfigError(f"kdray {command} needs a file before its flags, such as {example}; {file} is no file.")
        hint = near_path(file, (".py", ".yaml"), also=["sweeps"], otherwise="sweeps/ has examples.")
        raise ConfigError(f"{file}: no such file of a sweep or comparison; {hint}")
    if file is not None and file.suffix not in (".yaml", ".yml", ".py"):
        raise ConfigError(f"{file}: kdray {command} takes a file of settings (.yaml) or a program (.py).")
    if file is not None and file.suffix == ".py":
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, str(file), *rest])  # noqa: S606
    if command == "sweep":  # only now: it takes seconds to import
        from kdray.cli.sweep import print_help
        from kdray.cli.sweep import sweep_file as start
    else:
        from kdray.cli.compare import compare_file as start
        from kdray.cli.compare import print_help
    if file is None:
        print_help()
    else:
        start(file, rest)
