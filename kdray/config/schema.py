"""What the settings records allow at a place such as `teachers.0.train`: which types, and whether a text is wanted."""

import dataclasses
from collections.abc import Container, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from kdray.records import options

OLD_NAMES = {
    "protect": "keep_medoids",
    "stats": "fit_on",
    "rho": "rate",
    "preflight": "quality_check",
    "teaching": "teacher_training",
    "select_fraction": "validation_fraction",
    "merge": "label_map",
}
"""Names of settings in earlier versions, and their names now."""


def new_name(fields: Container[str], name: Any) -> Any:
    """Today's name of a setting; `name` itself where it is not an old name of one of these fields."""
    now = OLD_NAMES.get(name) if isinstance(name, str) and name not in fields else None
    return now if now is not None and now in fields else name


def field_names(hints: Sequence[Any]) -> set[str]:
    """The settings of the records among these types."""
    every = [option for hint in hints for option in options(hint)]
    records = [option for option in every if isinstance(option, type) and issubclass(option, BaseModel)]
    return {name for record in records for name in record.model_fields}


def below(hints: Sequence[Any], part: str) -> list[Any]:
    """The types of a record's field `part`, of a list's item, or of a mapping's value."""
    found: list[Any] = []
    for option in (each for hint in hints for each in options(hint)):
        if isinstance(option, type) and issubclass(option, BaseModel):
            name = new_name(option.model_fields, part)
            found += [option.model_fields[name].annotation] if name in option.model_fields else []
        elif dataclasses.is_dataclass(option):
            found += [hint for name, hint in get_type_hints(option).items() if name == part]
        elif get_origin(option) is tuple:
            found.append(get_args(option)[0])
        elif get_origin(option) is dict:
            found.append(get_args(option)[1])
    return found


def named(hints: Sequence[Any], name: Any) -> list[Any]:
    """Of the records of a union the one with this `name`; all, if none has it."""
    every = [option for hint in hints for option in options(hint)]
    return [each for each in every if _name_of(each) == name] or list(hints)


def wants_text(hints: Sequence[Any]) -> bool:
    """Whether the place holds a text, so that it is taken as it is written: `no`, `2024` and `1:30` too."""
    every = [option for hint in hints for option in options(hint)]
    is_text = [each is str or (get_origin(each) is Literal and isinstance(get_args(each)[0], str)) for each in every]
    return any(is_text) and not {int, float, bool}.intersection(each for each in every if isinstance(each, type))


def may_be_null(hints: Sequence[Any]) -> bool:
    return any(option is NoneType for hint in hints for option in options(hint))


def _name_of(option: Any) -> Any:
    fields = option.model_fields if isinstance(option, type) and issubclass(option, BaseModel) else {}
    return fields["name"].default if "name" in fields and get_origin(fields["name"].annotation) is Literal else None
