"""Rows without a text, which are an error unless `skip_empty` leaves them out."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from kdray.corpora.source import Source
from kdray.errors import ConfigError, plural


def is_empty(value: Any) -> bool:
    """Whether a text is missing or blank, or a list has no token.

    >>> [is_empty(each) for each in (None, " ", [], "a", [""])]
    [True, True, True, False, False]
    """
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, list) and not value)


def empty_rows(table: pa.Table, columns: Iterable[str]) -> list[int]:
    """The positions of rows of which one of the columns is empty, in order."""
    found: set[int] = set()
    for column in columns:
        found.update(row for row, value in enumerate(table[column].to_pylist()) if is_empty(value))
    return sorted(found)


def skipped_note(numbers: Mapping[str, int]) -> str:
    """What a reader should know of rows that were left out.

    >>> skipped_note({"train": 2, "test": 1})
    'rows without a text left out: 2 of train, 1 of test'
    """
    return "rows without a text left out: " + ", ".join(f"{number:,} of {split}" for split, number in numbers.items())


def without_empty(table: pa.Table, columns: Sequence[str], source: Source) -> tuple[pa.Table, Source, int]:
    """The rows with a text in each of the columns, how errors name them, and how many were left out.

    Raises:
        ConfigError: No row is left.
    """
    empty = set(empty_rows(table, [each for each in columns if each in table.column_names]))
    if not empty:
        return table, source, 0
    kept = [row for row in range(table.num_rows) if row not in empty]
    if not kept:
        raise ConfigError(f"{source}: none of {plural(table.num_rows, 'row')} has a text in {', '.join(columns)}.")
    return table.take(kept), dataclasses.replace(source, rows=kept), len(empty)
