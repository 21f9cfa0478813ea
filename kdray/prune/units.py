"""What can be pruned: sentences of prunable fields, or whole examples.

The splitter is rule based and deterministic. It needs no capital letters, because SST-2 has none. Offsets count Unicode
code points, as Python strings do.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import pyarrow as pa

from kdray.errors import BadInput

Role = Literal["context", "query", "body", "pair"]
Level = Literal["sentence", "example"]

SPLITTER_VERSION = 1
EXAMPLE = "*"  # the field name of a unit that is a whole example
HASH_COLUMN = "original_hash"  # what pruning adds to a table; its presence marks the table as pruned

_STOP = re.compile(r"""[.!?]+(?P<closers>["'”’)\]]*)""")
_SPACES = re.compile(r"\s*")
_WORD_CHARACTER = re.compile(r"\w")
_INITIALS = re.compile(r"[a-z](\.[a-z])*")
_TITLES = {"mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "gen", "gov", "sen", "rep"}
_MONTHS = {"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"}
_SHORT_WORDS = {"inc", "co", "corp", "ltd", "vs", "etc", "no", "fig", "al", "ca", "approx"}
_ABBREVIATIONS = _TITLES | _MONTHS | _SHORT_WORDS


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Split a text into sentences: ``(start, end)`` offsets that cover it without a gap, never an empty list.

    White space after a sentence belongs to it. A piece without a word character joins its neighbour.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _cuts(text):
        if _WORD_CHARACTER.search(text, start, end):
            spans.append((start, end))
            start = end
    if start == len(text) and spans:
        return spans
    if spans and not _WORD_CHARACTER.search(text, start):
        start, _ = spans.pop()
    return [*spans, (start, len(text))]


def _cuts(text: str) -> Iterator[int]:
    for stop in _STOP.finditer(text):
        at_end = stop.end() == len(text) or text[stop.end()].isspace()
        if at_end and _ends_sentence(text, stop):
            spaces = _SPACES.match(text, stop.end())
            assert spaces is not None
            yield spaces.end()


def _ends_sentence(text: str, stop: re.Match[str]) -> bool:
    run = text[stop.start() : stop.start("closers")]
    if run.startswith(".."):
        return False
    if run != ".":
        return True
    if _is_spaced_ellipsis(text, stop.start(), stop.end()):
        return False
    word = _word_before(text, stop.start()).lower().lstrip("(\"'[")
    return word not in _ABBREVIATIONS and not _INITIALS.fullmatch(word)


def _is_spaced_ellipsis(text: str, start: int, end: int) -> bool:
    follows = text[end : end + 1].isspace() and text[end + 1 : end + 2] == "."
    precedes = start >= 2 and text[start - 1].isspace() and text[start - 2] == "."
    return follows or precedes


def _word_before(text: str, end: int) -> str:
    if text[end - 1 : end] == "\n":  # a full stop wrapped onto the next line still belongs to its word
        end -= 1
    start = end
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    return text[start:end]


def prunable_fields(fields: Sequence[tuple[str, Role]], *, prune_pairs: bool) -> list[str]:
    """The fields whose sentences may be removed: ``context`` and ``body``, ``pair`` on request, ``query`` never.

    Raises:
        BadInput: ``prune_pairs`` is set but no field is one of a pair.
    """
    if prune_pairs and not any(role == "pair" for _, role in fields):
        roles = ", ".join(f"{name} is {role}" for name, role in fields)
        raise BadInput(f"prune.prune_pairs = true would have no effect: no field is a pair ({roles}); remove it.")
    allowed = {"context", "body", "pair"} if prune_pairs else {"context", "body"}
    return [name for name, role in fields if role in allowed]


def units_of(table: pa.Table, fields: Sequence[str], *, id_column: str = "id") -> pa.Table:
    """The sentences of the given fields, one row each, ordered by row, then field as listed, then position.

    Args:
        table: Examples, with a column of unique ids and one text column for each field.
        fields: The prunable fields' names.
        id_column: The ids; other types than string are written as strings.

    Returns:
        Columns ``row`` (int64, position in ``table``), ``id``, ``field``, ``unit`` (int32, from 0 in each field),
        ``start`` and ``end`` (int32, in characters) and ``text``. A field's units joined are the field's text.

    Raises:
        BadInput: A column or a text is missing, an id occurs twice, or the table was pruned before.
    """
    ids = example_ids(table, id_column)
    texts = [field_texts(table, field) for field in fields]
    found: list[tuple[int, str, str, int, int, int, str]] = []
    for row, name in enumerate(ids):
        for field, column in zip(fields, texts, strict=True):
            text = column[row]
            for unit, (start, end) in enumerate(sentence_spans(text)):
                found.append((row, name, field, unit, start, end, text[start:end]))
    return pa.Table.from_arrays([pa.array(c, t) for c, t in _columns(found)], schema=_SCHEMA)


def example_units(
    table: pa.Table, fields: Sequence[str], *, id_column: str = "id", label_column: str = "label"
) -> pa.Table:
    """One unit for each example: all its fields joined by a space.

    Args:
        table: Examples, with ids, texts and labels.
        fields: All fields, also those that are never pruned on their own.
        id_column: The ids.
        label_column: The classes; example pruning must keep some of each.

    Returns:
        The columns of `units_of` (``field`` is ``EXAMPLE``, ``unit`` is 0) and ``label``.

    Raises:
        BadInput: As `units_of`; also a missing label.
    """
    ids = example_ids(table, id_column)
    labels = _column(table, label_column)
    if labels.null_count:
        row = labels.to_pylist().index(None)
        raise BadInput(f"Row {row} has no {label_column!r}; pruning whole examples needs every label, so give it one.")
    texts = [" ".join(parts) for parts in zip(*(field_texts(table, field) for field in fields), strict=True)]
    found = [
        (row, name, EXAMPLE, 0, 0, len(text), text) for row, (name, text) in enumerate(zip(ids, texts, strict=True))
    ]
    units = pa.Table.from_arrays([pa.array(c, t) for c, t in _columns(found)], schema=_SCHEMA)
    return units.append_column("label", labels)


_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("field", pa.string()),
        ("unit", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("text", pa.string()),
    ]
)


def _columns(found: list[tuple[int, str, str, int, int, int, str]]) -> list[tuple[list[object], pa.DataType]]:
    columns = [list(column) for column in zip(*found, strict=True)] or [[] for _ in _SCHEMA]
    return list(zip(columns, _SCHEMA.types, strict=True))


@dataclass(frozen=True)
class LevelCounts:
    """How many examples have a field that could lose a sentence. Counts of shards add up with ``+``."""

    num_examples: int
    num_divisible: int

    def __add__(self, other: "LevelCounts") -> "LevelCounts":
        return LevelCounts(self.num_examples + other.num_examples, self.num_divisible + other.num_divisible)


def level_counts(table: pa.Table, fields: Sequence[str], *, min_keep: int = 1) -> LevelCounts:
    """Count a table's rows, and those with a field of more than ``min_keep`` sentences.

    Args:
        table: Examples, or a shard of them.
        fields: The prunable fields' names; with none, no row can lose a sentence.
        min_keep: Sentences that every field keeps at least.
    """
    texts = [field_texts(table, field) for field in fields]
    rows = (any(len(sentence_spans(column[row])) > min_keep for column in texts) for row in range(table.num_rows))
    return LevelCounts(table.num_rows, sum(rows))


def example_ids(table: pa.Table, id_column: str) -> list[str]:
    """The ids as strings.

    Raises:
        BadInput: An id is missing or occurs twice, or the table was pruned before.
    """
    refuse_pruned(table)
    ids = [None if value is None else str(value) for value in _column(table, id_column).to_pylist()]
    seen: set[str | None] = {None}
    for row, name in enumerate(ids):
        if name in seen:
            what = "is missing" if name is None else f"is {name!r}, which an earlier row has"
            raise BadInput(f"Row {row}: {id_column!r} {what}; give every row its own id.")
        seen.add(name)
    return [name for name in ids if name is not None]


def field_texts(table: pa.Table, field: str) -> list[str]:
    """A field's texts.

    Raises:
        BadInput: The column is missing, or a text is null or no string.
    """
    texts = _column(table, field).to_pylist()
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput(f"Row {row}: {field!r} is {text!r}, but must be a text; mend or remove the row.")
    return texts


def refuse_pruned(table: pa.Table) -> None:
    """Refuse a table that pruning has made: scores of an already pruned text mean nothing."""
    if HASH_COLUMN in table.column_names:
        raise BadInput(f"This table was pruned before (it has a column {HASH_COLUMN!r}); prune the original instead.")


def is_example_level(units: pa.Table) -> bool:
    """Whether a table holds whole examples; a table without units holds none."""
    return EXAMPLE in units.column("field").unique().to_pylist()


def text_column(units: pa.Table) -> list[str]:
    """The units' texts."""
    return [str(text) for text in units.column("text").to_pylist()]


def text_hash(text: str) -> str:
    """The first 16 hexadecimal digits of a text's SHA-256."""
    return sha256(text.encode()).hexdigest()[:16]


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise BadInput(f"There is no column {name!r}; the table has {', '.join(table.column_names)}.")
    return table.column(name)
