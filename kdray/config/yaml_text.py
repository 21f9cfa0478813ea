"""YAML as data: one document, each key once, no tags; a value becomes what its place in the settings holds."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from kdray.config.schema import below, named, wants_text
from kdray.errors import ConfigError

MAX_DEPTH = 20
MAX_VALUES = 10_000  # of one document; aliases of aliases can stand for billions
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_PROBLEMS = {  # how a sentence of the parser begins, and what it means
    "expected the node content": "a value is missing, or a bracket is not closed",
    "found unexpected end of stream": "a quotation mark is not closed",
    "mapping values are not allowed": "a colon has no place here; put text with a colon into quotation marks",
    "could not find expected ':'": "a key has no colon behind it",
    "found character '\\t'": "a tab begins the line; indent with spaces",
    "expected <block end>": "the indentation does not match the lines above",
    "expected ',' or ']'": "a list in [ ] is not closed, or a comma is missing",
    "expected ',' or '}'": "a section in { } is not closed, or a comma is missing",
    "found undefined alias": "an alias (*name) has no anchor (&name) before it",
}
_FLOAT = re.compile(r"[-+]?([0-9]+(_[0-9]+)*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_yaml(text: str, *, source: str, hints: Sequence[Any] = ()) -> Any:
    """The plain values of a YAML document; None for an empty one.

    Args:
        source: How errors name it.
        hints: The types of its place in the settings: where a text is wanted, `no` and `2024` are texts.

    Raises:
        ConfigError: It is no YAML, or it has a key twice, a tag, a second document, or too many values.
    """
    try:
        _check_events(text, source)
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        return None if node is None else _Document(source).value(node, hints)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{source}: not valid YAML: line {line}: {_plain(error.problem or 'unknown')}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{source}: not valid YAML: the character U+{error.character:04X} in line {line} is not allowed."
        ) from None
    except RecursionError:
        raise ConfigError(f"{source}: a value contains itself.") from None


def _plain(problem: str) -> str:
    """
    >>> _plain("found unexpected end of stream")
    'a quotation mark is not closed'
    """
    return next((plain for start, plain in _PROBLEMS.items() if problem.startswith(start)), problem)


def plain_value(text: str) -> Any:
    """What an unquoted word stands for: null, a boolean, a number, or the word."""
    if text in _NULL:
        return None
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 30 else float(text)  # Python refuses to convert thousands of digits
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=[inIN])", "", text))  # Python writes .inf and .nan without the point
    return text


def _check_events(text: str, source: str) -> None:
    documents = depth = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1
        if documents > 1:
            raise ConfigError(f"{source}: a second YAML document begins in line {line}; one is allowed.")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{source}: line {line} is nested more than {MAX_DEPTH} levels deep.")
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise ConfigError(f"{source}: line {line} has the YAML tag {tag}; tags are not allowed, remove it.")


class _Document:
    def __init__(self, source: str) -> None:
        self._source, self._left = source, MAX_VALUES

    def value(self, node: yaml.Node, hints: Sequence[Any]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ConfigError(f"{self._source}: it has more than {MAX_VALUES:,} values; remove some, or its aliases.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, hints)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, below(hints, str(number))) for number, item in enumerate(node.value)]
        if node.style is not None:  # quoted
            return node.value
        return node.value if wants_text(hints) and node.value not in _NULL else plain_value(node.value)

    def _mapping(self, node: yaml.MappingNode, hints: Sequence[Any]) -> dict[str, Any]:
        lines, found, shared = dict[str, int](), dict[str, Any](), dict[str, Any]()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(
                    f"{self._source}: the key in line {line} is a list or a section; a key must be a word."
                )
            if key.value in lines:
                both = f"in line {lines[key.value]} and in line {line}"
                raise ConfigError(f"{self._source}: {key.value} is given twice, {both}; remove one.")
            lines[key.value] = line
        hints = named(hints, next((v.value for k, v in node.value if k.value == "name"), None))
        for key, value in node.value:
            if key.value == "<<":
                shared = self._shared(value, hints)
            else:
                found[key.value] = self.value(value, below(hints, key.value))
        return {**shared, **found}

    def _shared(self, node: yaml.Node, hints: Sequence[Any]) -> dict[str, Any]:
        """What `<<: *anchor` merges into a section."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(part, yaml.MappingNode) for part in parts):
            raise ConfigError(f"{self._source}: << in line {node.start_mark.line + 1} must name a section.")
        return {key: value for part in reversed(parts) for key, value in self.value(part, hints).items()}
