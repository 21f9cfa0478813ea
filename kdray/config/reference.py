"""Every setting of a run file with its type, default and meaning, read from the records that define it."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from kdray.config.run import RunConfig
from kdray.models import Architecture
from kdray.origin import OpenSettings, class_named, default_name
from kdray.pruning import PruningPolicy
from kdray.records import bounds, in_range, options

NUMBERS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: As it is typed, such as `teachers.0.train.epochs`.
        of: The method, policy or architecture whose setting it is; empty if it is not one's own.
        type: What is allowed, in words.
        default: As YAML has it; empty where a value must be given.
        meaning: One or more sentences.
    """

    key: str
    of: str
    type: str
    default: str
    meaning: str


def settings(prefix: str = "") -> list[Setting]:
    """The settings whose key begins with `prefix`; `method.kd` are those of a method, policy or architecture.

    `file.py:CLASS` or `module:CLASS` are those of a class from outside.

    Raises:
        ConfigError: There is no such class.
    """
    if ":" in prefix or prefix.endswith(".py"):
        return list(_settings_from_outside(prefix))
    every = list(_settings_of(RunConfig, RunConfig(), ""))
    parts = prefix.split(".") if prefix else []
    return [each for each in every if _is_below(each, parts)]


def _settings_from_outside(name: str) -> Iterator[Setting]:
    kind = class_named(OpenSettings, name, "settings")
    sections = {PruningPolicy: "prune.policy", Architecture: "student.architecture"}
    section = next((key for base, key in sections.items() if issubclass(kind, base)), "method")
    yield Setting(f"{section}.name", "", "text", name, meanings(kind)["name"])
    yield from _settings_of(kind, None, f"{section}.", default_name(kind).partition("@")[0].rpartition(":")[2])


def _is_below(setting: Setting, parts: list[str]) -> bool:
    key = setting.key.split(".")
    if key[: len(parts)] == parts:
        return True
    own = [part for part in parts if part != setting.of]  # method.kd.alpha is typed as method.alpha
    return bool(setting.of) and len(own) == len(parts) - 1 and key[: len(own)] == own


def meanings(record: type[BaseModel]) -> dict[str, str]:
    """Field to meaning, from the `Attributes:` of the record's docstring and of those that it inherits from."""
    found: dict[str, str] = {}
    own = [kind for kind in reversed(record.__mro__) if issubclass(kind, BaseModel) and kind is not BaseModel]
    for kind in own:
        _, _, text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
        for name, meaning in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
            text = re.sub(r"\s+", " ", meaning).strip()
            found[name] = text[:1].upper() + text[1:]
    return found


def _settings_of(record: type[BaseModel], value: BaseModel | None, place: str, of: str = "") -> Iterator[Setting]:
    told = meanings(record)
    for name, field in record.model_fields.items():
        if name == "name" and of:
            continue  # the section itself is the row for it
        default = getattr(value, name) if value is not None else _default(field)
        yield from _field(f"{place}{name}", field, default, told.get(name, ""), of)


def _field(key: str, field: FieldInfo, default: Any, meaning: str, of: str) -> Iterator[Setting]:
    kinds = options(field.annotation)
    records = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    many = [kind for hint in kinds if get_origin(hint) is tuple for kind in options(get_args(hint)[0])]
    listed = [kind for kind in many if isinstance(kind, type) and issubclass(kind, BaseModel)]
    if _is_choice(records):
        shown = getattr(default, "name", "null") if default is not None else "null"
        yield Setting(f"{key}.name", of, " | ".join(map(_tag, records)), shown, meaning)
        if key == "method" or not key.endswith("method"):
            for kind in records:
                own = default if isinstance(default, kind) else None
                yield from _settings_of(kind, own, f"{key}.", _tag(kind))
    elif records or listed:
        one = default[0] if listed and default else default
        place = f"{key}.0" if listed else key
        (kind,) = records or listed
        if not isinstance(one, kind):
            wanted = "list of sections" if listed else "section" + ", or null" * (NoneType in kinds)
            yield Setting(key, of, wanted, _shown(default), meaning)
        yield from _settings_of(kind, one if isinstance(one, kind) else None, f"{place}.", of)
    else:
        yield Setting(key, of, type_in_words(field), _shown(default), meaning)


def _is_choice(records: list[Any]) -> bool:
    """Whether these are the members of a union that a `name` chooses from."""
    return bool(records) and all(_tag(record) for record in records)


def _tag(record: type[BaseModel]) -> str:
    field = record.model_fields.get("name")
    return str(field.default) if field is not None and get_origin(field.annotation) is Literal else ""


def type_in_words(field: FieldInfo) -> str:
    """What a setting may be, such as `whole number from 1 to 1,000, or null`."""
    kinds = options(field.annotation)
    words = list(dict.fromkeys(word for kind in kinds if kind is not NoneType for word in _words(kind)))
    low, high = bounds(field)
    if low or high:
        words = [f"{word} {in_range(low, high)}" if word in ("whole number", "number") else word for word in words]
    return " | ".join(words) + ", or null" * (NoneType in kinds)


def _words(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(each) for each in get_args(kind)]
    if get_origin(kind) is tuple:
        return [f"list of {' or '.join(word for each in options(get_args(kind)[0]) for word in _words(each))}"]
    if get_origin(kind) is dict:
        return ["mapping"]
    return [NUMBERS.get(kind, getattr(kind, "__name__", str(kind)))]


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _shown(value: Any) -> str:
    if value is PydanticUndefined:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list | set | frozenset):
        return f"[{', '.join(map(_shown, cast('tuple[Any, ...]', value)))}]"
    if isinstance(value, Mapping):
        return "{}" if not value else str(dict(cast("Mapping[str, Any]", value)))
    if isinstance(value, BaseModel):
        return str(getattr(value, "name", type(value).__name__))
    return str(value.value) if isinstance(value, Enum) else f"{value}"
