"""What can go wrong through no fault of kdray's code: one sentence for the user, one exit code for the shell."""

import difflib
import importlib.util
from collections.abc import Iterable
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


def did_you_mean(given: str, known: Iterable[str], *, otherwise: str) -> str:
    """The end of a sentence that refuses a name: a question with the nearest name, or what is said without one.

    >>> did_you_mean("temprature", ["alpha", "temperature"], otherwise="allowed are alpha, temperature.")
    'did you mean temperature?'
    """
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def nearest_file(given: Path, others: Iterable[Path]) -> Path | None:
    """The file whose name without the ending is most like that of `given`; None if none is.

    >>> nearest_file(Path("runs/ret.yaml"), [Path("runs/rte.yaml"), Path("runs/bert.yaml")]).name
    'rte.yaml'
    """
    by_stem = {each.stem: each for each in others}
    near = difflib.get_close_matches(given.stem, list(by_stem), n=1)
    return by_stem[near[0]] if near else None
