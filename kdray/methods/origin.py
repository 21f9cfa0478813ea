"""Where a method class that is not part of kdray comes from: its name, its source, and how workers get it.

The name of such a class is `REFERENCE:CLASS@HASH`. The reference is a module (`my_module`) or a file (`my_method.py`),
the hash is one of the source that defines the class and its bases. So artifacts of different sources never mix, and a
worker that finds another source than the driver had refuses to train.
"""

import hashlib
import importlib
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict

from kdray.errors import ConfigError

REFERENCE = "__kdray_reference__"  # in a module that was loaded from a file: the path as it was given
TEXT = "__kdray_source__"  # the text that was run, whatever the file holds now
MAIN = "__main__"
LIBRARIES = ("kdray", "pydantic", "builtins", "abc", "typing")  # bases whose source is none of the method's
HASH_DIGITS = 16


class MethodSource(BaseModel):
    """What a worker needs in order to define a method class.

    Attributes:
        name: Of the class, with its hash.
        text: Of the file that defines it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    text: str


def is_shipped(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "kdray"


def name_of(kind: type) -> str:
    """`REFERENCE:CLASS@HASH` of a class from outside of kdray."""
    module = sys.modules.get(kind.__module__)
    reference = getattr(module, REFERENCE, kind.__module__)
    outside = [each for each in kind.__mro__ if each.__module__.partition(".")[0] not in LIBRARIES]
    texts = dict.fromkeys(_source(each) for each in outside)
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return f"{reference}:{kind.__qualname__}@{digest[:HASH_DIGITS]}"


def source_of(kind: type, name: str) -> MethodSource:
    """The source that workers define the class from.

    Raises:
        ConfigError: It has no file, or the file has changed since the class was defined.
    """
    text = _text(kind.__module__)
    if kind.__module__ == MAIN or text is None:
        raise ConfigError(
            f"method {kind.__qualname__} is defined in a notebook or in the script that runs, which workers cannot "
            "import; move the class to a file of its own (my_method.py), or train in this process, without Ray."
        )
    if name_of(kind) != name:
        raise ConfigError(f"method {name}: its source has changed since it was imported; start the program again.")
    return MethodSource(name=name, text=text)


def module_of(reference: str) -> ModuleType:
    """Import a module, also one of the working directory, or run a file.

    Raises:
        ConfigError: There is none, or it cannot be imported.
    """
    if reference.endswith(".py"):
        path = Path(reference).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(f"method.name: file {reference} cannot be read in {Path.cwd()}: {reason}.") from None
        return run_text(reference, text)
    with _working_directory_importable():
        try:
            return importlib.import_module(reference)
        except Exception as error:
            raise ConfigError(
                f"method.name: module {reference} cannot be imported ({type(error).__name__}: {error}); name an "
                "installed module, one in the working directory, or a file (my_method.py:MyKD)."
            ) from error


def run_text(reference: str, text: str) -> ModuleType:
    """The module of a source text; the same text is run once in a process.

    Raises:
        ConfigError: It cannot be run.
    """
    name = f"kdray_method_{hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    setattr(module, REFERENCE, reference)
    setattr(module, TEXT, text)
    module.__file__ = reference
    sys.modules[name] = module  # before it runs: annotations are looked up in it
    try:
        exec(compile(text, reference, "exec", dont_inherit=True), vars(module))  # noqa: S102 - as an import would
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"method file {reference} cannot be run ({type(error).__name__}: {error}).") from error
    return module


@contextmanager
def _working_directory_importable() -> Generator[None]:
    here = str(Path.cwd())
    sys.path.append(here)  # last, so that it hides nothing that is installed
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


def _source(kind: type) -> str:
    """The text of the file that defines a class; where there is none (a notebook), the code of its functions."""
    text = _text(kind.__module__)
    if text is not None:
        return text
    return "\n".join(f"{name} {_code(value)}" for name, value in sorted(vars(kind).items()))


def _text(module_name: str) -> str | None:
    module = sys.modules.get(module_name)
    text: str | None = getattr(module, TEXT, None)
    file: str | None = getattr(module, "__file__", None)
    if text is None and file is not None and Path(file).suffix == ".py" and Path(file).is_file():
        return Path(file).read_text(encoding="utf-8")
    return text


def _code(value: Any) -> str:
    """What a function does, in words that are the same in every process of one Python version."""
    for inner in ("fget", "__func__", "wrapped", "__wrapped__"):
        if (found := getattr(value, inner, None)) is not None:
            return _code(found)
    code = value if isinstance(value, CodeType) else getattr(value, "__code__", None)
    if code is None:
        return ""
    constants = [_code(each) if isinstance(each, CodeType) else _constant(each) for each in code.co_consts]
    return repr((code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars))


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
