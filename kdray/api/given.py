"""Checks of what is handed to the functions of the API."""

from collections.abc import Mapping
from typing import Any

from kdray.errors import ConfigError


def check_object(argument: str, given: Any, kinds: tuple[type, ...], wanted: str) -> None:
    """
    Raises:
        ConfigError: The argument is of none of the kinds; the sentence has what is wanted.

    >>> check_object("teacher", "my-teacher", (int,), "kd.Teacher(...)")
    Traceback (most recent call last):
        ...
    kdray.errors.ConfigError: teacher: found 'my-teacher'; give kd.Teacher(...).
    """
    if not isinstance(given, kinds):
        raise ConfigError(f"{argument}: found {_shown(given)}; give {wanted}.")


def mapping_of(argument: str, given: Any) -> dict[str, Any]:
    """Settings as a dictionary; empty for None.

    Raises:
        ConfigError: The argument is not a mapping.
    """
    check_object(argument, given or {}, (Mapping,), 'a mapping, such as {"epochs": 2}')
    return dict(given or {})


def _shown(given: Any) -> str:
    plain = given is None or isinstance(given, bool | int | float | str | list | tuple)
    text = repr(given) if plain else f"an object of {type(given).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
