"""What can be pruned: sentences of prunable fields, or whole examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from kdray.errors import ConfigError
from kdray.pruning.splitters import RULES, spans_by
from kdray.utf8 import is_readable

Role = Literal["context", "query", "body", "pair"]
Level = Literal["sentence", "row"]

WHOLE_ROW = "*"  # the field name of a unit that is a whole example
HASH_COLUMN = "original_hash"  # what pruning adds to a table; its presence marks the table as pruned


def prunable_fields(fields: Sequence[tuple[str, Role]], *, prune_pairs: bool) -> list[str]:
    """The fields whose sentences may be removed: ``context`` and ``body``, ``pair`` on request, ``query`` never.

    Raises:
        ConfigError: ``prune_pairs`` is set but no field is one of a pair.
    """
    if prune_pairs and not any(role == "pair" for _, role in fields):
        roles = ", ".join(f"{name} is {role}" for name, role in fields)
        raise ConfigError(f"prune.prune_pairs = true would have no effect: no field is a pair ({roles}); remove it.")
    allowed = {"context", "body", "pair"} if prune_pairs else {"context", "body"}
    return [name for name, role in fields if role in allowed]


def units_of(table: pa.Table, fields: Sequence[str], *, id_column: str = "id", splitter: str = RULES) -> pa.Table:
    """The sentences of the given fields, one row each, ordered by row, then field as listed, then position.

    Args:
        table: Examples, with a column of unique ids and one text column for each field.
        fields: The prunable fields' names.
        id_column: The ids; other types than string are written as strings.
        splitter: As `PruneSettings.splitter`.

    Returns:
        Columns ``row`` (int64, position in ``table``), ``id``, ``field``, ``unit`` (int32, from 0 in each field),
        ``start`` and ``end`` (int32, in characters) and ``text``. A field's units joined are the field's text.

    Raises:
        ConfigError: A column or a text is missing, an id occurs twice, or the table was pruned before; or a splitter
            of your own loses characters.
    """
    ids, spans = row_ids(table, id_column), spans_by(splitter)
    texts = [field_texts(table, field) for field in fields]
    found: list[tuple[int, str, str, int, int, int, str]] = []
    for row, name in enumerate(ids):
        for field, column in zip(fields, texts, strict=True):
            text = column[row]
            for unit, (start, end) in enumerate(spans(text, f"row {name!r} ({field!r})")):
                found.append((row, name, field, unit, start, end, text[start:end]))
    return pa.Table.from_arrays([pa.array(c, t) for c, t in _columns(found)], schema=_SCHEMA)


def joined_texts(table: pa.Table, fields: Sequence[str]) -> list[str]:
    """Each row as one text: its fields joined by a space."""
    return [" ".join(parts) for parts in zip(*(field_texts(table, field) for field in fields), strict=True)]


def row_units(
    table: pa.Table, fields: Sequence[str], *, id_column: str = "id", label_column: str = "label"
) -> pa.Table:
    """One unit for each example: all its fields joined by a space.

    Args:
        table: Examples, with ids, texts and labels.
        fields: All fields, also those that are never pruned on their own.
        id_column: The ids.
        label_column: The classes; example pruning must keep some of each.

    Returns:
        The columns of `units_of` (``field`` is ``WHOLE_ROW``, ``unit`` is 0) and ``label``.

    Raises:
        ConfigError: As `units_of`; also a missing label.
    """
    ids = row_ids(table, id_column)
    labels = _column(table, label_column)
    if labels.null_count:
        row = labels.to_pylist().index(None)
        raise ConfigError(
            f"Row {row} has no {label_column!r}; pruning whole examples needs every label, so give it one."
        )
    texts = joined_texts(table, fields)
    found = [
        (row, name, WHOLE_ROW, 0, 0, len(text), text) for row, (name, text) in enumerate(zip(ids, texts, strict=True))
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
    """How many examples there are, and how many have a field that could lose a sentence."""

    num_examples: int
    num_divisible: int


def level_counts(units: pa.Table, num_examples: int, *, min_keep: int = 1) -> LevelCounts:
    """Count the examples with a field of more than ``min_keep`` sentences.

    Args:
        units: All sentences of the examples' prunable fields, from `units_of`; none where no field is prunable.
        num_examples: How many examples there are.
        min_keep: Sentences that every field keeps at least.
    """
    longer = units["unit"].to_numpy() >= min_keep
    return LevelCounts(num_examples, len(np.unique(units["row"].to_numpy()[longer])))


def row_ids(table: pa.Table, id_column: str) -> list[str]:
    """The ids as strings.

    Raises:
        ConfigError: An id is missing or occurs twice, or the table was pruned before.
    """
    refuse_pruned(table)
    ids = [None if value is None else str(value) for value in _values(table, id_column)]
    seen: set[str | None] = {None}
    for row, name in enumerate(ids):
        if name in seen:
            what = "is missing" if name is None else f"is {name!r}, which an earlier row has"
            raise ConfigError(f"Row {row}: {id_column!r} {what}; give every row its own id.")
        seen.add(name)
    return [name for name in ids if name is not None]


def field_texts(table: pa.Table, field: str) -> list[str]:
    """A field's texts.

    Raises:
        ConfigError: The column is missing, or a text is null, no string or not valid UTF-8.
    """
    texts = _values(table, field)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigError(f"Row {row}: {field!r} is {text!r}, but must be a text; correct or remove the row.")
    return texts


def refuse_pruned(table: pa.Table) -> None:
    """Refuse a pruned table: scores of an already pruned text are meaningless."""
    if HASH_COLUMN in table.column_names:
        raise ConfigError(
            f"This table was pruned before (it has a column {HASH_COLUMN!r}); prune the original instead."
        )


def is_row_level(units: pa.Table) -> bool:
    """Whether a table holds whole examples; a table without units holds none."""
    return WHOLE_ROW in units.column("field").unique().to_pylist()


def text_column(units: pa.Table) -> list[str]:
    """The units' texts."""
    return [str(text) for text in units.column("text").to_pylist()]


def text_hash(text: str) -> str:
    """The first 16 hexadecimal digits of a text's SHA-256."""
    return sha256(text.encode()).hexdigest()[:16]


def _values(table: pa.Table, name: str) -> list[Any]:
    """A column's values; bytes of a string column that are not valid text are found only here."""
    column = _column(table, name)
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        row = next(row for row in range(len(column)) if not is_readable(column[row]))
        raise ConfigError(f"Row {row}: {name!r} is not valid UTF-8; correct or remove the row.") from None


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise ConfigError(f"Missing column {name!r}; the table has {', '.join(table.column_names)}.")
    return table.column(name)
