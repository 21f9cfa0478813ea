"""Names of earlier versions: such a setting is taken with a warning that gives its new name."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from kdray.config.run import RunConfig
from kdray.config.schema import below, field_names, named, new_name
from kdray.errors import ConfigError

log = logging.getLogger(__name__)

OLD_VALUES = {("prune.level", "example"): "row"}


def renamed(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the settings of a run with today's names.

    Raises:
        ConfigError: A section has a setting under both names.
    """
    return cast("dict[str, Any]", renamed_value(plain, [RunConfig], ()))


def renamed_value(value: Any, hints: Sequence[Any], place: tuple[str, ...]) -> Any:
    """The same of the value at one place, whose types are `hints`."""
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return [renamed_value(item, below(hints, "0"), (*place, str(i))) for i, item in enumerate(items)]
    if not isinstance(value, Mapping):
        return _today(place, value)
    section = cast("Mapping[str, Any]", value)
    hints = named(hints, section.get("name"))
    found = dict[str, Any]()
    for key, inner in section.items():
        new = new_name(field_names(hints), key)
        if new != key:
            old_key, new_key = ".".join((*place, key)), ".".join((*place, new))
            if new in section:
                raise ConfigError(f"{old_key} is the old name of {new_key}, and both are given; remove {old_key}.")
            log.warning("%s is now %s", old_key, new_key)
        found[new] = renamed_value(inner, below(hints, new), (*place, new))
    return found


def renamed_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """A dotted key's parts with today's names."""
    found, hints = list[str](), list[Any]([RunConfig])
    for part in path:
        found.append(new_name(field_names(hints), part))
        hints = below(hints, part)
    if tuple(found) != path:
        log.warning("%s is now %s", ".".join(path), ".".join(found))
    return tuple(found)


def _today(place: tuple[str, ...], value: Any) -> Any:
    key = ".".join(place)
    if not isinstance(value, str) or (key, value) not in OLD_VALUES:
        return value
    log.warning("%s = %s is now %s = %s", key, value, key, OLD_VALUES[key, value])
    return OLD_VALUES[key, value]
