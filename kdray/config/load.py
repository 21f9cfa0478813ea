"""One way in: YAML, then dotted overrides, then validation; every refusal names the file and the key."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from kdray.config.old_names import renamed
from kdray.config.overrides import TAGS, apply_overrides
from kdray.config.reference import settings
from kdray.config.run import RunConfig
from kdray.config.yaml_text import read_yaml
from kdray.corpora.lines import ending
from kdray.errors import ConfigError, did_you_mean, near_path
from kdray.origin import OpenSettings, defined
from kdray.records import bounds, in_range, plain_message
from kdray.utf8 import is_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Record = TypeVar("Record", bound=BaseModel)

_DEFAULTS = RunConfig().model_dump(mode="json")
_NO_SECTION = ("model_type", "model_attributes_type", "dict_type")
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
DATA = (*_TABLES, ".json", ".txt")
_BEYOND = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def load(path: Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run file and apply `key=value` overrides (see `apply_overrides`).

    Raises:
        ConfigError: The file cannot be read, or a key or value is not allowed.
    """
    source = "settings" if path is None else path.name
    plain = load_yaml(path, RunConfig) if path is not None else {}
    if "run" in plain or "space" in plain:
        command, keys = ("compare", "variants:") if "variants" in plain else ("sweep", "run: or space:")
        kind = "comparison" if command == "compare" else "sweep"
        raise ConfigError(f"{source} is a {kind} file (it has {keys}); start it by kdray {command} {path}.")
    return parse(apply_overrides(plain, overrides), source=source, overrides=overrides)


def parse(plain: Mapping[str, Any], *, source: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The RunConfig of plain values.

    Args:
        overrides: Those in `plain` that a command line gave; a sentence on one of them does not name `source`.

    Raises:
        ConfigError: Naming `source` and the first key that does not fit.
    """
    _refuse_halves(plain, (), source)
    return checked(RunConfig, renamed(plain), source=source, overrides=overrides)


def checked(
    record: type[Record], values: Mapping[str, Any], *, source: str | None = None, overrides: Sequence[str] = ()
) -> Record:
    """A record of values from a file, a command line, or (without a source) Python.

    Args:
        overrides: As of `parse`.

    Raises:
        ConfigError: Naming `source` and the first key that does not fit.
    """
    try:
        return record.model_validate(values)
    except ValidationError as error:
        problem = _first_problem(error)
        sentence = _on_one_line(_sentence(problem, record, values))
        is_unknown, key = problem["type"] == "extra_forbidden", _key(problem["loc"], record)[0]
        key = f"{key}.name" if problem["type"] == "union_tag_invalid" else key
        if named := re.match(rf"{re.escape(key)}: (\w+) = ", sentence):  # a section's check of one of its keys
            key = f"{key}.{named[1]}"
        is_typed = _is_typed(key, overrides, is_unknown=is_unknown)
        raise ConfigError(f"{source}: {sentence}" if source and not is_typed else sentence) from None


def _is_typed(key: str, overrides: Sequence[str], *, is_unknown: bool) -> bool:
    """Whether an override gave this key, or a section with it, or made an unknown section.

    >>> _is_typed("train.epochs", ["train.epochs=x"], is_unknown=False)
    True
    >>> _is_typed("train", ["train.seed=1"], is_unknown=False)
    False
    """
    typed = [each.partition("=")[0] for each in overrides]
    return any(f"{key}.".startswith(f"{each}.") or (is_unknown and each.startswith(f"{key}.")) for each in typed)


def _refuse_halves(value: Any, place: tuple[str, ...], source: str) -> None:
    """Half of a surrogate pair is not a character: it can be neither checked nor written."""
    if isinstance(value, str) and not is_text(value):
        raise ConfigError(f"{source}: {'.'.join(place)} holds half of a character, found {value!r}; write all of it.")
    for key, inner in _inside(value):
        if not is_text(key):
            raise ConfigError(f"{source}: the key {key!r} holds half of a character; write all of it.")
        _refuse_halves(inner, (*place, key), source)


def _inside(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), inner) for key, inner in cast("Mapping[Any, Any]", value).items()]
    if isinstance(value, list | tuple):
        return [(str(number), inner) for number, inner in enumerate(cast("Sequence[Any]", value))]
    return []


def _no_section(key: str, given: Any, known: Sequence[str]) -> str:
    """Something else stands where the settings `known` must."""
    if key.startswith("space.") and isinstance(given, list):
        found = next((each for each in cast("list[Any]", given) if isinstance(each, list | dict)), given)
        return f"{key}: found {found!r} among the choices; each is a text, a number, true, false or null."
    if key == "corpus" and Path(str(given)).suffix:
        return f"{key} is a section of settings, found {given!r}; for your own files see recipes/own.yaml."
    if "name" in known:
        return f"{key} is a section of settings; write {key}.name={given}, or {key}: {{name: {given}}} in a file."
    has = f"; write {key}.SETTING=VALUE; it has {', '.join(known)}" if known else ""
    return f"{key} is a section of settings, found {given!r}{has}."


def _on_one_line(sentence: str) -> str:
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in sentence)


def _no_settings(path: Path) -> str:
    return f"{path} is a file of data, not of settings (YAML); recipes/own.yaml shows how to use it."


def load_yaml(path: Path, record: type[BaseModel]) -> dict[str, Any]:
    """The plain values of a file of settings of the kind `record`.

    Raises:
        ConfigError: It cannot be read, or it is not a section of settings.
    """
    if ending(path) in _TABLES and path.is_file():
        raise ConfigError(_no_settings(path))
    try:
        plain = read_yaml(path.read_text(encoding="utf-8"), source=str(path), hints=[record])
    except OSError as error:
        hint = near_path(path, (".yaml", ".yml"), also=["recipes"], otherwise="give a file of settings (YAML).")
        raise ConfigError(f"{path}: {error.strerror}; {hint}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not valid YAML: it is not UTF-8 text.") from None
    if plain is None:
        raise ConfigError(f"{path} is empty: expected sections such as corpus: and method:, one or more.")
    if not isinstance(plain, dict):
        if ending(path) in DATA:
            raise ConfigError(_no_settings(path))
        found = "a list" if isinstance(plain, list) else "text" if isinstance(plain, str) else f"{plain!r}"
        raise ConfigError(f"{path}: expected sections such as corpus: and method:, found {found}.")
    return plain


def _first_problem(error: ValidationError) -> "ErrorDetails":
    """A setting that is not known comes first: what is missing then may be the one that was meant."""
    return min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")


def _sentence(problem: "ErrorDetails", record: type[BaseModel], values: Mapping[str, Any]) -> str:
    """What does not fit into a record: the key, the value, and what is allowed."""
    key, tag = _key(problem["loc"], record)
    given = problem["input"]
    if problem["type"] == "union_tag_not_found":
        example = ", for example method.name=kd (see kdray methods)" if key == "method" else ""
        return f"{key}.name is missing; choose one{example}."
    if problem["type"] == "union_tag_invalid":
        tags = problem.get("ctx", {})
        known = tags["expected_tags"].replace("'", "").split(", ")
        found = _unknown(f"{key}.name = {tags['tag']!r} is unknown", tags["tag"], known)
        return found if found.endswith("?") else f"{found} A class of your own is named FILE.py:CLASS."
    if problem["type"] == "extra_forbidden":
        *where, name = problem["loc"]
        of = f" of {tag.partition('@')[0]}" if tag else ""
        elsewhere = _elsewhere(name, values) if record is RunConfig else []
        return _unknown(f"unknown setting {key}{of}", name, _settings_at(where, record), elsewhere)
    if not isinstance(given, dict) and (f"{key}.name" in TAGS or problem["type"] in _NO_SECTION):
        return _no_section(key, given, _settings_at(problem["loc"], record))
    if problem["type"] == "too_short" and isinstance(given, dict):
        return f"{key} is empty; give at least one."
    low, high = _bounds_at(problem["loc"], record)
    if problem["type"] in _BEYOND and (low or high):
        return f"{key} = {given}: allowed is a number {in_range(low, high)}."
    if problem["type"] == "literal_error":
        return f"{key} = {given!r} is unknown; {plain_message(problem)}."
    message = plain_message(problem)
    shown = f" (found {given!r})" if isinstance(given, str | int | float | bool | list) else ""
    return f"{key}: {message}{shown}." if key else f"{message}."


def _unknown(what: str, given: Any, known: Sequence[str], elsewhere: Sequence[str] = ()) -> str:
    if elsewhere:
        return f"{what}; did you mean {' or '.join(elsewhere)}?"
    every = f"allowed are {', '.join(known)}."
    return f"{what}; {did_you_mean(str(given).lower(), known, otherwise=every)}"


def _elsewhere(name: str | int, values: Mapping[str, Any]) -> list[str]:
    """The keys of this name in other sections of a run, nearest to the top; of methods and such, of the chosen ones."""
    chosen = [str(_value_at(values, tag) or _value_at(_DEFAULTS, tag)) for tag in TAGS if "assistant" not in tag]
    of = ["", *(each.partition("@")[0].rpartition(":")[2] for each in chosen)]
    every = [each for prefix in ("", *(each for each in chosen if ":" in each)) for each in settings(prefix)]
    keys = [each.key.split(".") for each in every if each.of in of]
    found = {".".join(key[: place + 1]): place for key in keys for place, part in enumerate(key) if part == str(name)}
    return [key for key, place in found.items() if place == min(found.values())]


def _value_at(values: Any, key: str) -> Any:
    """None if there is none."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _bounds_at(where: Sequence[str | int], record: type[BaseModel]) -> tuple[str, str]:
    """The bounds of the number at a place as pydantic has it, with the names of methods and policies in between."""
    models: list[type[BaseModel]] = [record]
    found = ("", "")
    for part in (each for each in where if isinstance(each, str)):
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        found = bounds(fields[0]) if fields else found
        models = _models_below(models, part)
    return found


def _key(where: Sequence[str | int], record: type[BaseModel]) -> tuple[str, str]:
    """The key as it is typed, and the method or policy whose setting it is: pydantic puts that into its place too."""
    models: list[type[BaseModel]] = [record]
    typed, tag = list[str](), ""
    for part in (each for each in where if not str(each).startswith(("function-", "tuple["))):  # pydantic's own names
        is_tag = isinstance(part, str) and not any(part in model.model_fields for model in models)
        below = _models_below(models, part) if isinstance(part, str) else models
        if is_tag and below != models:
            tag = str(part)
        else:
            typed.append(str(part))
        models = below
    key = ".".join(typed)
    return key if key.isprintable() else repr(key), tag


def _settings_at(where: Sequence[str | int], record: type[BaseModel]) -> list[str]:
    """The names of the settings below a place such as ("method", "kd") or ("teachers", 0, "train")."""
    models: list[type[BaseModel]] = [record]
    for part in where:
        if isinstance(part, str):
            models = _models_below(models, part)
    return sorted({name for model in models for name in model.model_fields})


def _models_below(models: Sequence[type[BaseModel]], part: str) -> list[type[BaseModel]]:
    """Those of a field of that name, or the one that a union's tag of that name stands for."""
    fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
    if fields:
        return [model for field in fields for model in _models_in(field)]
    tags = [m for m in models if "name" in m.model_fields and m.model_fields["name"].default == part]
    outside = defined(OpenSettings, part) if ":" in part else None
    return tags or ([outside] if outside else list(models))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
