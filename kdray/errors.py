"""What can go wrong through no fault of kdray's code: one sentence for the user, one exit code for the shell."""

import difflib
import importlib.util
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path


class KdrayError(Exception):
    """The base of every error meant for a user: one sentence with what was given, what is allowed, and the fix."""

    exit_code = 1


class ConfigError(KdrayError):
    """A file, row, key or setting that the user can correct. Exit code 2."""

    exit_code = 2


EXTRAS = {"ray": "ray", "optuna": "ray", "datasets": "train"}  # packages that the light installation leaves out


class MissingPackage(ConfigError, ModuleNotFoundError):
    """A package of an extra is not installed."""


def check_installed(package: str) -> None:
    """
    Raises:
        MissingPackage: A package of `EXTRAS` is not there.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingPackage(_told(package))


def missing_package(error: ModuleNotFoundError) -> MissingPackage | None:
    """The sentence for a package that an extra installs; None if the module that is missing is another one."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return MissingPackage(_told(package))


def _told(package: str) -> str:
    local = ", or add --engine local (in Python: leave engine= out)" if package == "ray" else ""
    return f"{package} is not installed: pip install 'kdray[{EXTRAS[package]}]'{local}."


class RunError(KdrayError):
    """The input was fine but the run did not end well (diverged, no space, a worker lost too often). Exit code 1."""

    exit_code = 1


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: the command ends as after Ctrl-C, with exit code 143."""


def plural(number: int, noun: str) -> str:
    """`1 trial`, `3 trials`.

    >>> plural(1, "cell"), plural(0, "cell"), plural(1200, "row")
    ('1 cell', '0 cells', '1,200 rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(first: Iterable[object], total: int) -> str:
    """The first of many, and how many more there are.

    >>> listed(["a", "b"], 2), listed([7, 9, 12], 1203)
    ('a, b', '7, 9, 12 and 1,200 more')
    """
    shown = [str(each) for each in first]
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def one_of(names: Sequence[str]) -> str:
    """Names to choose from.

    >>> one_of([".parquet", ".csv", ".jsonl"]), one_of(["kd"])
    ('.parquet, .csv or .jsonl', 'kd')
    """
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def did_you_mean(given: str, known: Iterable[str], *, otherwise: str) -> str:
    """The end of a sentence that refuses a name: a question with the nearest name, or what is said without one.

    >>> did_you_mean("temprature", ["alpha", "temperature"], otherwise="allowed are alpha, temperature.")
    'did you mean temperature?'
    >>> did_you_mean("temp", ["temperature_end", "temperature", "term"], otherwise="allowed are others.")
    'did you mean temperature?'
    """
    names = list(known)
    same = [name for name in names if name.lower() == given.lower()]
    begun = sorted((name for name in names if len(given) > 2 and name.startswith(given)), key=len)
    near = same or begun or difflib.get_close_matches(given, names, n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def near_flag(flag: str, help_text: str, *, otherwise: str) -> str:
    """As `did_you_mean`, of a flag and the flags in a help text.

    >>> near_flag("--engin", "--engine {ray,local}  --store STORE", otherwise="--help lists the flags.")
    'did you mean --engine?'
    """
    flags = re.findall(r"--([\w-]+)", help_text)
    near = did_you_mean(flag.lstrip("-"), flags, otherwise="")
    return near.replace("did you mean ", "did you mean --") or otherwise


def near_path(given: Path, endings: Sequence[str] = (), *, otherwise: str, also: Sequence[str] = ()) -> str:
    """As `did_you_mean`, of a path that does not exist: the name is compared with those in its folder, or in the folder
    that is most like it.

    Args:
        endings: Of the files that are allowed; without any, folders are.
        also: Folders that are searched too.

    >>> near_path(Path("nowhere/rte.yaml"), [".yaml"], otherwise="give a file.")
    'give a file.'
    """
    near = None
    with suppress(OSError, ValueError):  # of a name that is too long, or a folder that may not be read
        near = _nearest(given, endings, [given.parent, *map(Path, also)])
    return f"did you mean {near}?" if near else otherwise


def _nearest(given: Path, endings: Sequence[str], folders: Sequence[Path]) -> Path | None:
    if not folders[0].is_dir():
        meant = _nearest(folders[0], (), [folders[0].parent])
        folders = [*([meant] if meant else []), *folders[1:]]
    found = [each for folder in folders if folder.is_dir() for each in folder.iterdir() if _is_one(each, endings)]
    by_stem = {each.stem: each for each in found if each != given}
    near = difflib.get_close_matches(given.stem, list(by_stem), n=1)
    return by_stem[near[0]] if near else None


def _is_one(path: Path, endings: Sequence[str]) -> bool:
    return path.suffix in endings if endings else path.is_dir() and not path.name.startswith(".")
