"""What is not part of kdray (methods, architectures, policies, metrics, tasks): names, source, and how workers get it.

The name of such a class or object is `REFERENCE:NAME@HASH`. The reference is a module (`my_module`) or a file
(`my_method.py`), the hash is one of the source that defines it and its bases. So artifacts of different sources never
mix, and a worker that finds another source than the driver had refuses to train.
"""

import ast
import hashlib
import importlib
import inspect
import reprlib
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import CodeType, ModuleType, NoneType
from typing import Any, Literal, Self, TypeVar, cast

from pydantic import SerializationInfo, ValidationError, ValidatorFunctionWrapHandler, WrapSerializer, WrapValidator
from pydantic.fields import FieldInfo
from pydantic_core import SchemaValidator, core_schema

from kdray.errors import ConfigError, KdrayError, did_you_mean, near_path
from kdray.records import Settings, sentence_of

REFERENCE = "__kdray_reference__"  # in a module that was loaded from a file: the path as it was given
TEXT = "__kdray_source__"  # the text that was run, whatever the file holds now
FOLDER = "__kdray_folder__"  # where that file was; None in a worker that received its text
NAMES = "__kdray_names__"  # in a module: its objects that were named, and their full names
MAIN = "__main__"
LIBRARIES = ("kdray", "pydantic", "builtins", "abc", "typing")  # bases whose source is not the class's own
HASH_DIGITS = 16
_NOT_LOCAL = frozenset({*sys.stdlib_module_names, "kdray"})  # imports that no file beside it can be
_VALUES = (str, int, float, tuple, list, set, dict, NoneType, FieldInfo)  # that a class may write without a type
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_objects: dict[str, tuple[ModuleType, Any]] = {}  # metrics and tasks from outside, by `NAME@HASH`, with their modules


class Source(Settings):
    """What a worker needs in order to define a class or object.

    Attributes:
        name: With its hash.
        text: Of the file that defines it; empty where a package must be imported.
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

    def __new__(cls, *unnamed: Any, **given: Any) -> Self:
        """
        Raises:
            ConfigError: In Python, a setting does not exist or has a value that is not allowed; of files, pydantic
                finds it.
        """
        known = cls.model_fields
        own = str(known["name"].default or cls.__name__).partition("@")[0]
        if unnamed:
            first = next(each for each in known if each != "name")
            raise ConfigError(f"{own}: give settings by name, such as {cls.__name__}({first}=...).")
        if cls.model_config.get("extra") == "forbid" and (unknown := next((n for n in given if n not in known), None)):
            every = f"allowed are {', '.join(sorted(known))}."
            raise ConfigError(f"unknown setting {unknown} of {own}; {did_you_mean(unknown, known, otherwise=every)}")
        try:
            if given:
                cls.__pydantic_validator__.validate_python(given)
        except ValidationError as error:
            raise ConfigError(f"{own}: {sentence_of(error)}.") from None
        return super().__new__(cls)

    def __init_subclass__(cls, **settings: Any) -> None:
        """
        Raises:
            ConfigError: A setting has no type, which pydantic refuses in words of its own.
        """
        super().__init_subclass__(**settings)
        bases = [base for base in cls.__mro__[1:] if issubclass(base, Settings)]
        fields = {name for base in bases for name in base.model_fields}
        typed = {name for base in cls.__mro__ for name in inspect.get_annotations(base)} - fields
        for name, value in vars(cls).items():
            if name.startswith(("_", "model_")) or name in typed | inspect.get_annotations(cls).keys():
                continue
            if isinstance(value, _VALUES):
                is_constant = name not in fields and any(hasattr(base, name) for base in bases)
                kind = "ClassVar" if is_constant else _type_of(value)
                raise ConfigError(
                    f"class {cls.__name__}: {name} has no type; write {name}: {kind} = {_written(value)}."
                )

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
        return identity_of(self.name)


def _type_of(value: Any) -> str:
    default = value.default if isinstance(value, FieldInfo) else value
    return "float | None" if default is None else type(default).__name__


def _written(value: Any) -> str:
    return f"Field({value.default!r}, ...)" if isinstance(value, FieldInfo) else reprlib.repr(value)


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
        if not isinstance(name, str) or (":" not in name and not name.endswith(".py")):
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
    if ("@" in name or ":" not in name) and (known := defined(base, name)):
        return known
    place = shown(name)
    module, found = _named(place, key)
    reference = place.rpartition(":")[0]
    if not (isinstance(found, type) and issubclass(found, base)):
        if found is None:
            what = f"this class does not exist in {reference}{_near(place, module, type)}"
        elif base is OpenSettings:
            what = "only the settings of methods, architectures and pruning policies can be shown."
        else:
            what = f"it is not a subclass of {base.__name__} in {reference}."
        raise ConfigError(f"{key} = {name!r}: {what}")
    if left := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigError(f"{key} = {name!r}: the class leaves out {left[0]}, which {base.__name__} needs.")
    if is_shipped(found):
        known = found in _subclasses(base)
        use = f"use its name, {default_name(found)}" if known else "it has no name; name a class derived from it"
        raise ConfigError(f"{key} = {name!r} is kdray's own; {use}.")
    _check_alone(found.__module__, f"{key} = {name!r}")
    _check_source(name, default_name(found), key)
    return found


def full_name(name: str, key: str) -> str:
    """The name of a metric or task with the hash of its source; one of kdray's own as it is.

    Raises:
        ConfigError: As `object_of`.
    """
    return _resolved(name, key)[0] if ":" in name else name


def object_of(name: str, key: str) -> Any:
    """The metric or task of `module:NAME` or `file.py:NAME`; with `@HASH`, of exactly that source.

    Raises:
        ConfigError: There is none, its file imports others, or its source is another one.
    """
    return _resolved(name, key)[1]


def shipped_or_outside(name: str, shipped: Mapping[str, Any], key: str, *, place: str) -> Any:
    """kdray's own metric or task of this name, or what `object_of` finds where it names a place.

    Args:
        place: What the name of a place ends with, such as NAME, for the sentence about an unknown name.

    Raises:
        ConfigError: There is none.
    """
    if ":" in name:
        return object_of(name, key)
    if name not in shipped:
        own = f"Name your own as module:{place} or file.py:{place}."
        raise ConfigError(f"{key} {name!r} is unknown; known are {', '.join(shipped)}. {own}")
    return shipped[name]


def is_defined(name: str) -> bool:
    """Whether this process has what a full name means, by whichever module or file. Nothing is imported or run."""
    own = identity_of(name)
    for module in list(sys.modules.values()) if own not in _objects else ():
        found = getattr(module, "__dict__", {}).get(shown(own))
        if inspect.isfunction(found) and own == f"{shown(own)}@{_hash_of(found, module.__name__)}":
            _objects[own] = module, found
            break
    return own in _objects


def identity_of(name: str) -> str:
    """A name in digests: `NAME@HASH`, whether a module or a file was named; one of kdray's own as it is."""
    return name.rpartition(":")[2]


def shown(name: str) -> str:
    """A full name as results and messages have it: without the hash."""
    return name.partition("@")[0]


def _resolved(name: str, key: str) -> tuple[str, Any]:
    if "@" in name and identity_of(name) in _objects:
        return name, _objects[identity_of(name)][1]
    place = shown(name)
    module, found = _named(place, key)
    reference, _, qualified = place.rpartition(":")
    if found is None:
        raise ConfigError(f"{key} = {name!r}: there is no such name in {reference}{_near(place, module, object)}")
    if module.__name__.partition(".")[0] == "kdray":
        raise ConfigError(f"{key} = {name!r} is kdray's own; use its name without module.")
    _check_alone(module.__name__, f"{key} = {name!r}")
    own = f"{place}@{_hash_of(found, module.__name__)}"
    _check_source(name, own, key)
    seen: dict[str, tuple[Any, str]] = vars(module).setdefault(NAMES, {})
    if qualified in seen and seen[qualified][0] is found and identity_of(seen[qualified][1]) != identity_of(own):
        raise ConfigError(f"{key} = {name!r}: its source has changed since it was imported; start the program again.")
    seen[qualified] = found, own
    _objects[identity_of(own)] = module, found
    return own, found


def _check_source(name: str, own: str, key: str) -> None:
    """Refuse a name with the hash of another source than there is."""
    place, _, wanted = name.partition("@")
    if wanted and not own.endswith(f"@{wanted}"):
        reference = place.rpartition(":")[0]
        raise ConfigError(
            f"{key} = {name!r}: the source of {reference} is another one now; restore it, or use the new one by "
            f"{place}."
        )


def _near(place: str, module: ModuleType, kind: type) -> str:
    """The end of a sentence on a name that a module lacks."""
    others = [each for each, value in vars(module).items() if isinstance(value, kind) and not each.startswith("__")]
    near = did_you_mean(place.rpartition(":")[2], others, otherwise="")
    return f"; {near}" if near else "."


def defined(base: type[T], name: str) -> type[T] | None:
    """The class of this name that this process has defined, by whichever module or file; None if it has not."""
    found = [known for known in _subclasses(base) if identity_of(default_name(known)) == identity_of(name)]
    return min(found, key=lambda known: default_name(known) != name, default=None)


def object_named(place: str, key: str) -> Any:
    """What `module:NAME` or `file.py:NAME` names; None if the module has no such name.

    Raises:
        ConfigError: The module cannot be imported, or the file cannot be run.
    """
    return _named(place, key)[1]


def _named(place: str, key: str) -> tuple[ModuleType, Any]:
    """The module of a name, and what it names there; None if it has no such name."""
    reference, _, qualified = place.rpartition(":")
    if not reference or not qualified:
        raise ConfigError(f"{key} = {place!r}: expected module:NAME or file.py:NAME.")
    module = module_of(reference, key)
    return module, _member(module, qualified)


def _member(module: ModuleType, qualified: str) -> Any:
    found: Any = module
    for part in qualified.split("."):
        found = getattr(found, part, None)
    return found


@contextmanager
def outside(what: str, code: type | Callable[..., Any], *expected: type[Exception]) -> Generator[None]:
    """Around a call of a class or function from outside of kdray: what it raises becomes one sentence.

    Errors of kdray and Ctrl-C stay what they are, and so do all errors of kdray's own classes.

    Args:
        what: How the sentence names it, such as `corpus my_reviews.py:reviews`.
        code: The class or function.
        expected: Exceptions that its contract allows; they stay what they are too.

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
    except (KdrayError, *expected):
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


def sources_of(named: Iterable[OpenSettings | str]) -> list[Source]:
    """What other processes must `define` before they can use these; nothing for kdray's own.

    Args:
        named: Records, and full names of metrics and tasks.

    Raises:
        ConfigError: One has no file of its own, or its file has changed.
    """
    found = dict[str, tuple[Any, str]]()
    for each in named:
        if isinstance(each, str):
            if ":" in each:
                full, value = _resolved(each, "name")
                found[full] = value, _objects[identity_of(full)][0].__name__
        elif not is_shipped(type(each)):
            found[default_name(type(each))] = type(each), type(each).__module__
    return [_source_of(name, *found[name]) for name in sorted(found, key=identity_of)]


def define(sources: Iterable[Source]) -> None:
    """Define what `sources_of` gave in this process: import the modules, or run their text.

    Only for what another process of the same program sent; never for what a store holds.

    Raises:
        ConfigError: A source cannot be run here, or is another one here.
    """
    for source in sources:
        reference, _, qualified = shown(source.name).rpartition(":")
        if identity_of(source.name) in _objects or defined(OpenSettings, source.name):
            continue
        module = run_text(reference, source.text) if source.text else module_of(reference, "name")
        found = _member(module, qualified)
        if not isinstance(found, type):
            _check_source(source.name, f"@{_hash_of(found, module.__name__)}", "name")
            _objects[identity_of(source.name)] = module, found
        elif not source.text:
            class_named(OpenSettings, source.name, "name")


def _subclasses(kind: type[T]) -> Iterator[type[T]]:
    for each in kind.__subclasses__():
        if "name" in each.model_fields and each.model_fields["name"].default is not None:
            yield each
        yield from _subclasses(each)


def is_shipped(kind: type | Callable[..., Any]) -> bool:
    return kind.__module__.partition(".")[0] == "kdray"


def name_of(kind: type) -> str:
    """`REFERENCE:CLASS@HASH` of a class from outside of kdray."""
    reference = getattr(sys.modules.get(kind.__module__), REFERENCE, kind.__module__)
    return f"{reference}:{kind.__qualname__}@{_hash_of(kind, kind.__module__)}"


def _hash_of(found: Any, module_name: str) -> str:
    """Of the sources of a class or object, of its base classes, and of what their modules import."""
    kind = found if isinstance(found, type) else type(found)
    bases = [(each, each.__module__) for each in kind.__mro__]
    outside = [each for each in ((found, module_name), *bases) if each[1].partition(".")[0] not in LIBRARIES]
    helpers = [file for module in dict.fromkeys(module for _, module in outside) for file in _helpers(module)]
    own = (_source(each, module) for each, module in outside)
    texts = dict.fromkeys([*own, *(file.read_text(encoding="utf-8") for file in helpers)])
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:HASH_DIGITS]


def _source_of(name: str, found: Any, module_name: str) -> Source:
    """The source that workers define a class or object from.

    Raises:
        ConfigError: It has no file, the file has changed since it was imported, or it imports files beside it.
    """
    text = _text(module_name)
    if module_name == MAIN or text is None:
        what = f"class {found.__qualname__}" if isinstance(found, type) else shown(name)
        raise ConfigError(
            f"{what} is defined in a notebook or in the script that runs, which workers cannot import; move it to a "
            "file of its own. kd.distill without Ray takes it as it is; kd.compare and kd.search do not."
        )
    _check_alone(module_name, name)
    if not name.endswith(f"@{_hash_of(found, module_name)}"):
        raise ConfigError(f"{name}: its source has changed since it was imported; start the program again.")
    return Source(name=name, text="" if _is_packaged(module_name) else text)


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
            near = near_path(path, [".py"], otherwise="")
            end = f"; {near}" if near else "."
            raise ConfigError(f"{key}: file {reference} cannot be read in {Path.cwd()}: {reason}{end}") from None
        return run_text(reference, text, folder=path.absolute().parent)
    with _working_directory_importable():
        try:
            return importlib.import_module(reference)
        except ConfigError as error:
            raise ConfigError(f"module {reference}: {error}") from error
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
        if isinstance(error, ConfigError):
            raise ConfigError(f"file {reference}: {error}") from error
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


def _source(found: Any, module_name: str) -> str:
    """The text of the file that defines it; where there is none (a notebook), its functions' code, and its values."""
    text = _text(module_name)
    if text is not None:
        return text
    plain = () if isinstance(found, type) else (str, int, float, tuple)
    parts = sorted(getattr(found, "__dict__", {}).items())
    return "\n".join(f"{name} {repr(value) if isinstance(value, plain) else _code(value)}" for name, value in parts)


def _text(module_name: str) -> str | None:
    module = sys.modules.get(module_name)
    text: str | None = getattr(module, TEXT, None)
    file: str | None = getattr(module, "__file__", None)
    if text is None and file is not None and Path(file).suffix == ".py" and Path(file).is_file():
        return Path(file).read_text(encoding="utf-8")
    return text


def _is_packaged(module_name: str) -> bool:
    return "." in module_name or hasattr(sys.modules.get(module_name), "__path__")


def _check_alone(module_name: str, where: str) -> None:
    """Refuse what is in a file that imports files beside it: workers receive the one file only.

    Modules of a package may import each other, as workers import the package.
    """
    if not _is_packaged(module_name) and (helpers := _helpers(module_name)):
        raise ConfigError(
            f"{where}: its file imports {helpers[0].name}, a file of its folder, which workers do not receive; put "
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
