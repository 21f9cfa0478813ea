"""The one way to change settings by dotted keys: for the command line, sweeps, comparisons and search spaces."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kdray.config.old_names import renamed, renamed_path, renamed_value
from kdray.config.run import RunConfig
from kdray.config.schema import below, may_be_null, wants_text
from kdray.config.yaml_text import read_yaml
from kdray.errors import ConfigError

# They decide which settings are next to them.
TAGS = ("method.name", "assistant.method.name", "prune.policy.name", "student.architecture.name")
_NOTHING: tuple[Any, ...] = ("none", {"name": "none"})  # how a policy may be written that prunes nothing
_BEGIN = {
    "method": {"name": RunConfig().method.name},
    "policy": {"name": RunConfig().prune.policy.name},
    "architecture": {"name": RunConfig().student.architecture.name},
}
_BY_NAME = ("policy", "architecture")  # sections that may be given by their name alone
_Change = tuple[tuple[str, ...], Any]


def apply_overrides(plain: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `plain` with every `key=value` of a command line applied; a section as value replaces the section.

    A value is YAML, but where its setting holds a text, it is that text as it is.

    Raises:
        ConfigError: One is not of that form, is no YAML, or its key leads nowhere.
    """
    return _applied(plain, [_change(override) for override in overrides])


def merge(plain: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `plain` with dotted keys changed; a section as value is merged, as if its keys were dotted too.

    In both, another method's or policy's name clears the settings of the old one, except those that are given with it;
    and `prune.policy` = none clears the settings of pruning.

    Raises:
        ConfigError: A key leads nowhere.
    """
    return _applied(plain, list(_flat(changes, ())))


def dotted(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested changes as one level of dotted keys."""
    return {".".join(path): value for path, value in _flat(changes, ())}


def _flat(changes: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[_Change]:
    for key, value in changes.items():
        path = (*above, *(key.split(".") if not above else (key,)))
        if isinstance(value, Mapping):
            yield from _flat(value, path)
        else:
            yield path, value


def _change(override: str) -> _Change:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r} is not of the form key=value, for example method.temperature=4.")
    path = tuple(key.split("."))
    hints = _hints(path)
    if wants_text(hints):
        return path, None if text == "null" and may_be_null(hints) else text
    return path, read_yaml(text, source=f"override {key}", hints=hints)


def _applied(plain: Mapping[str, Any], changes: Iterable[_Change]) -> dict[str, Any]:
    changed = copy.deepcopy(renamed(plain))
    for path, value in sorted(_renamed(changes), key=lambda change: not _decides(*change)):
        _set(changed, path, value)
    return changed


def _renamed(changes: Iterable[_Change]) -> Iterator[_Change]:
    given = dict[tuple[str, ...], tuple[str, ...]]()
    for path, value in changes:
        new = renamed_path(path)
        if given.setdefault(new, path) != path:
            old = ".".join(path if path != new else given[new])
            raise ConfigError(f"{old} is the old name of {'.'.join(new)}, and both are given; remove {old}.")
        yield new, renamed_value(value, _hints(new), new)


def _hints(path: tuple[str, ...]) -> list[Any]:
    hints: list[Any] = [RunConfig]
    for part in path:
        hints = below(hints, part)
    return hints


def _decides(path: tuple[str, ...], value: Any) -> bool:
    """Whether it decides which other settings there are."""
    by_name = path == ("student", "architecture") or (path == ("prune", "policy") and value in _NOTHING)
    return by_name or ".".join(path) in TAGS


def _set(whole: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    key = ".".join(path)
    here: Any = whole
    *above, last = path
    for part in above:
        here = _descend(here, part, key)
    if isinstance(here, list):
        here[_index(here, last, key)] = value
        return
    if not isinstance(here, dict):
        raise ConfigError(f"override {key}: {last!r} is below a plain value.")
    if key in TAGS and here.get("name") != value:
        here.clear()
    here[last] = value
    if key in ("prune.policy", "prune.policy.name") and value in _NOTHING:
        _prune_nothing(whole["prune"])


def _prune_nothing(section: dict[str, Any]) -> None:
    """Clear what would have no effect; near-duplicates are looked for all the same."""
    used = {"policy", "duplicates", "embedders", "edge"} if section.get("duplicates") else {"policy"}
    for name in set(section) - used:
        del section[name]


def _descend(here: Any, part: str, key: str) -> Any:
    if isinstance(here, list):
        return here[_index(here, part, key)]
    if not isinstance(here, dict):
        raise ConfigError(f"override {key}: {part!r} is below a plain value.")
    if here.get(part) is None:
        here[part] = dict(_BEGIN.get(part, {}))  # missing, or a section that the file leaves empty
    if part in _BY_NAME and isinstance(here[part], str):
        here[part] = {"name": here[part]}
    return here[part]


def _index(items: list[Any], part: str, key: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise ConfigError(f"override {key}: {part!r} is not a position in a list of {len(items)}; the first is 0.")
    return int(part)
