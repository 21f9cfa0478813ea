"""Checks of what is handed to the functions of the API."""

from collections.abc import Mapping
from typing import Any

from kdray.engines.choice import EngineChoice, Local
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


def chosen_engine(given: EngineChoice | None) -> EngineChoice:
    """The engine of a call; `Local()` where none is given.

    >>> chosen_engine(None)
    Local()
    """
    if given is None:
        return Local()
    if isinstance(given, type) or not hasattr(given, "start"):
        raise ConfigError(f"engine: found {_shown(given)}; give kd.engines.Local() or kd.engines.Ray(address=...).")
    return given


def mapping_of(argument: str, given: Any) -> dict[str, Any]:
    """Settings as a dictionary; empty for None.

    Raises:
        ConfigError: The argument is not a mapping.
    """
    check_object(argument, given or {}, (Mapping,), 'a mapping, such as {"epochs": 2}')
    return dict(given or {})


def _shown(given: Any) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}"
    plain = given is None or isinstance(given, bool | int | float | str | list | tuple)
    text = repr(given) if plain else f"an object of {type(given).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
