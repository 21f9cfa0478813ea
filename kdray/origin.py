"""Classes that are not part of kdray (methods, architectures, policies): their names, source, and how workers get it.

The name of such a class is `REFERENCE:CLASS@HASH`. The reference is a module (`my_module`) or a file (`my_method.py`),
the hash is one of the source that defines the class and its bases. So artifacts of different sources never mix, and a
worker that finds another source than the driver had refuses to train.
"""

import ast
import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal, Self, TypeVar, cast

from pydantic import SerializationInfo, ValidatorFunctionWrapHandler, WrapSerializer, WrapValidator
from pydantic.fields import FieldInfo
from pydantic_core import SchemaValidator, core_schema

from kdray.errors import ConfigError, KdrayError, did_you_mean
from kdray.records import Settings

REFERENCE = "__kdray_reference__"  # in a module that was loaded from a file: the path as it was given
TEXT = "__kdray_source__"  # the text that was run, whatever the file holds now
FOLDER = "__kdray_folder__"  # where that file was; None in a worker that received its text
MAIN = "__main__"
LIBRARIES = ("kdray", "pydantic", "builtins", "abc", "typing")  # bases whose source is not the class's own
HASH_DIGITS = 16
_NOT_LOCAL = frozenset({*sys.stdlib_module_names, "kdray"})  # imports that no file beside it can be
_INSTALLED = frozenset({"site-packages", "dist-packages"})


class Source(Settings):
    """What a worker needs in order to define a class.

    Attributes:
        name: Of the class, with its hash.
        text: Of the file that defines it.
    """

    name: str
    text: str


class OpenSettings(Settings):
    """The base of settings records that may come from outside of kdray.

    The `name` of a class from outside is filled in: where it is defined, and a hash of its source. It is never taken
    for the class that it inherits from.

    Attributes:
        name: What a run file names it by.
    """

    name: str

    def __new__(cls, **given: Any) -> Self:
        """
        Raises:
            ConfigError: In Python, a setting is given that there is not; of files, pydantic finds it.
        """
        known = cls.model_fields
        if cls.model_config.get("extra") == "forbid" and (unknown := next((n for n in given if n not in known), None)):
            every = f"allowed are {', '.join(sorted(known))}."
            hint = did_you_mean(unknown, known, otherwise=every)
            raise ConfigError(f"unknown setting {unknown} of {known['name'].default or cls.__name__}; {hint}")
        return super().__new__(cls)

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        super().__pydantic_init_subclass__(**settings)
        if is_shipped(cls):
            return
        own = name_of(cls)
        hint: Any = Literal[own]
        cls.model_fields["name"] = FieldInfo.from_annotated_attribute(hint, own)
        cls.model_rebuild(force=True)

    @property
    def label(self) -> str:
        """The name in short, for titles and artifacts: of a class from outside, the class's own name."""
        return self.name.partition("@")[0].rpartition(":")[2].rpartition(".")[2]

    @property
    def identity(self) -> str:
        """The name in digests: of a class from outside, `CLASS@HASH`, whether a module or a file was named."""
        return self.name.rpartition(":")[2]


T = TypeVar("T", bound=OpenSettings)


def opened(base: type[OpenSettings], key: str) -> tuple[WrapValidator, WrapSerializer]:
    """What makes a union of kdray's own classes, tagged by `name`, one that takes classes from outside too.

    Args:
        base: Which classes.
        key: The setting, as messages name it, such as `method.name`.
    """

    def read(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(given, base) and type(given) is not base and ":" in given.name:
            return given
        settings = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {}
        name = settings.get("name")
        if not isinstance(name, str) or ":" not in name:
            return handler(given)
        kind = class_named(base, name, key)
        own = default_name(kind)
        # a union of one, so that the places of errors have the name, as those of kdray's own classes do
        union = core_schema.tagged_union_schema({own: kind.__pydantic_core_schema__}, "name")
        return SchemaValidator(union).validate_python({**settings, "name": own})

    def write(record: OpenSettings, handler: Any, info: SerializationInfo) -> dict[str, Any]:
        del handler  # it would write the fields of a class of the union
        return record.model_dump(mode=info.mode)

    return WrapValidator(read), WrapSerializer(write)


def class_named(base: type[T], name: str, key: str) -> type[T]:
    """The class of `module:Class` or `file.py:Class`; with `@HASH`, of exactly that source.

    Raises:
        ConfigError: There is no such class, it is no subclass of `base`, its file imports others, or its source is
            another one.
    """
    for known in _subclasses(base):
        if default_name(known) == name:
            return known
    place, _, wanted = name.partition("@")
    found = object_named(place, key)
    reference = place.rpartition(":")[0]
    if not (isinstance(found, type) and issubclass(found, base)):
        what = "this class does not exist" if found is None else f"it is not a subclass of {base.__name__}"
        others = [each for each, kind in vars(module_of(reference, key)).items() if isinstance(kind, type)]
        near = did_you_mean(place.rpartition(":")[2], others, otherwise="") if found is None else ""
        raise ConfigError(f"{key} = {name!r}: {what} in {reference}{f'; {near}' if near else '.'}")
    if left := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigError(f"{key} = {name!r}: the class leaves out {left[0]}, which {base.__name__} needs.")
    if is_shipped(found):
        known = found in _subclasses(base)
        use = f"use its name, {default_name(found)}" if known else "it has no name; name a class derived from it"
        raise ConfigError(f"{key} = {name!r} is kdray's own; {use}.")
    _check_alone(found, f"{key} = {name!r}")
    if wanted and not default_name(found).endswith(f"@{wanted}"):
        raise ConfigError(
            f"{key} = {name!r}: the source of {reference} is another one now; restore it, or use the new one by "
            f"{place}."
        )
    return found


def defined(base: type[T], name: str) -> type[T] | None:
    """The class of this name that this process has defined, by whichever module or file; None if it has not."""
    own = name.rpartition(":")[2]
    return next((known for known in _subclasses(base) if default_name(known).rpartition(":")[2] == own), None)


def object_named(place: str, key: str) -> Any:
    """What `module:NAME` or `file.py:NAME` names; None if the module has no such name.

    Raises:
        ConfigError: The module cannot be imported, or the file cannot be run.
    """
    reference, _, qualified = place.rpartition(":")
    if not reference or not qualified:
        raise ConfigError(f"{key} = {place!r}: expected module:NAME or file.py:NAME.")
    found: Any = module_of(reference, key)
    for part in qualified.split("."):
        found = getattr(found, part, None)
    return found


@contextmanager
def outside(what: str, code: type | Callable[..., Any]) -> Generator[None]:
    """Around a call of a class or function from outside of kdray: what it raises becomes one sentence.

    Errors of kdray and Ctrl-C stay what they are, and so do all errors of kdray's own classes.

    Args:
        what: How the sentence names it, such as `corpus my_reviews.py:reviews`.
        code: The class or function.

    Raises:
        ConfigError: It raised an exception, also SystemExit; the exception is the cause.

    >>> def half(number):
    ...     return 1 / number
    >>> half.__module__ = "my_file"  # of a file outside of kdray
    >>> with outside("function half", half):
    ...     half(0)
    Traceback (most recent call last):
    kdray.errors.ConfigError: function half: it raised ZeroDivisionError: division by zero.
    """
    try:
        yield
    except KdrayError:
        raise
    except (Exception, SystemExit) as error:
        if is_shipped(code):
            raise
        raise ConfigError(f"{what}: it raised {described(error)}{place_of(error, code)}.") from error


def outside_class(section: str, record: OpenSettings) -> AbstractContextManager[None]:
    """`outside` for a call of a record's class; `section` is of the settings that name it."""
    return outside(f"{section} {record.name.partition('@')[0]}", type(record))


def described(error: BaseException) -> str:
    """Type and first line of the text of an exception."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def place_of(error: BaseException, code: type | Callable[..., Any]) -> str:
    """The last line of the module of `code` that an exception went through, in brackets; empty if there is none."""
    frames = traceback.walk_tb(error.__traceback__)
    own = [line for frame, line in frames if frame.f_globals.get("__name__") == code.__module__]
    return f" (line {own[-1]})" if own else ""


def default_name(kind: type[OpenSettings]) -> str:
    return str(kind.model_fields["name"].default)


def sources_of(records: Iterable[OpenSettings]) -> list[Source]:
    """What other processes must `define` before they can parse these records; nothing for kdray's own.

    Raises:
        ConfigError: A class has no file of its own, or its file has changed.
    """
    outside = {type(each) for each in records if not is_shipped(type(each))}
    return [source_of(kind, default_name(kind)) for kind in sorted(outside, key=lambda kind: kind.__qualname__)]


def define(sources: Iterable[Source]) -> None:
    """Define the classes of `sources_of` in this process: import their modules, or run their text.

    Only for what another process of the same program sent; never for what a store holds.

    Raises:
        ConfigError: A source cannot be run here.
    """
    for source in sources:
        reference = source.name.partition("@")[0].rpartition(":")[0]
        if not reference.endswith(".py") and "." in reference:
            class_named(OpenSettings, source.name, "name")  # a package is imported as a whole
        elif not any(default_name(known) == source.name for known in _subclasses(OpenSettings)):
            run_text(reference, source.text)


def _subclasses(kind: type[T]) -> Iterator[type[T]]:
    for each in kind.__subclasses__():
        if "name" in each.model_fields and each.model_fields["name"].default is not None:
            yield each
        yield from _subclasses(each)


def is_shipped(kind: type | Callable[..., Any]) -> bool:
    return kind.__module__.partition(".")[0] == "kdray"


def name_of(kind: type) -> str:
    """`REFERENCE:CLASS@HASH` of a class from outside of kdray."""
    module = sys.modules.get(kind.__module__)
    reference = getattr(module, REFERENCE, kind.__module__)
    outside = [each for each in kind.__mro__ if each.__module__.partition(".")[0] not in LIBRARIES]
    helpers = [file for each in dict.fromkeys(each.__module__ for each in outside) for file in _helpers(each)]
    texts = dict.fromkeys([*map(_source, outside), *(file.read_text(encoding="utf-8") for file in helpers)])
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return f"{reference}:{kind.__qualname__}@{digest[:HASH_DIGITS]}"


def source_of(kind: type, name: str) -> Source:
    """The source that workers define the class from.

    Raises:
        ConfigError: It has no file, the file has changed since the class was defined, or it imports files beside it.
    """
    text = _text(kind.__module__)
    if kind.__module__ == MAIN or text is None:
        raise ConfigError(
            f"class {kind.__qualname__} is defined in a notebook or in the script that runs, which workers cannot "
            "import; move it to a file of its own, or run in this process, without Ray."
        )
    _check_alone(kind, name)
    if name_of(kind) != name:
        raise ConfigError(f"{name}: its source has changed since it was imported; start the program again.")
    return Source(name=name, text=text)


def module_of(reference: str, key: str) -> ModuleType:
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
            raise ConfigError(f"{key}: file {reference} cannot be read in {Path.cwd()}: {reason}.") from None
        return run_text(reference, text, folder=path.absolute().parent)
    with _working_directory_importable():
        try:
            return importlib.import_module(reference)
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"{key}: module {reference} cannot be imported ({described(error)}); name an "
                "installed module, one in the working directory, or a file (my_file.py:NAME)."
            ) from error


def run_text(reference: str, text: str, *, folder: Path | None = None) -> ModuleType:
    """The module of a source text; the same text is run once in a process.

    Args:
        folder: Where its file is, if it is here.

    Raises:
        ConfigError: It cannot be run.
    """
    name = f"kdray_file_{hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    setattr(module, REFERENCE, reference)
    setattr(module, TEXT, text)
    setattr(module, FOLDER, folder)
    module.__file__ = reference
    sys.modules[name] = module  # before it runs: annotations are looked up in it
    try:
        exec(compile(text, reference, "exec", dont_inherit=True), vars(module))  # noqa: S102 - as an import would
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"file {reference} cannot be run ({described(error)}).") from error
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


def _check_alone(kind: type, shown: str) -> None:
    """Refuse a class of a file that imports files beside it: workers receive the one file only.

    Modules of a package may import each other, as workers import the package.
    """
    if "." not in kind.__module__ and (helpers := _helpers(kind.__module__)):
        raise ConfigError(
            f"{shown}: its file imports {helpers[0].name}, a file of its folder, which workers do not receive; put "
            "that code into the same file, or install it as a package."
        )


def _helpers(module_name: str) -> list[Path]:
    """The files that a module imports, and those that they import: of its package, or else of its folder and below.

    Installed packages have none.
    """
    module = sys.modules.get(module_name)
    file: str | None = getattr(module, "__file__", None)
    text = _text(module_name)
    folder = getattr(module, FOLDER, Path(file).absolute().parent if file else None)
    if text is None or folder is None:
        return []
    *packages, _ = module_name.split(".") if not str(file).endswith("__init__.py") else [*module_name.split("."), ""]
    root = folder.parents[len(packages) - 1] if packages else folder
    found, left = dict[Path, None](), [(text, packages)]
    while left:
        for name in _imported(*left.pop()):
            parts = name.split(".")
            if parts[0] in _NOT_LOCAL or (packages and parts[0] != packages[0]):
                continue
            base = root.joinpath(*parts)
            for path, within in ((base.with_suffix(".py"), parts[:-1]), (base / "__init__.py", parts)):
                if path.is_file() and path not in found and not _INSTALLED.intersection(path.parts):
                    found[path] = None
                    left.append((path.read_text(encoding="utf-8"), within))
    return sorted(found)


def _imported(text: str, packages: list[str]) -> Iterator[str]:
    """The modules that a text may import, in full; a name from a module may be a module too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = packages[: len(packages) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (name for name in (module, *(f"{module}.{alias.name}" for alias in node.names)) if name)


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
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
