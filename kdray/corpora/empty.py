"""Rows without a text, which are an error unless `skip_empty` leaves them out."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Texts:
    """Splits of which every row has a text.

    Attributes:
        tables: By split.
        sources: How errors name their rows, as all rows of the file are counted.
        skipped: How many rows were left out, by split; splits without such rows are left out.
    """

    tables: dict[str, pa.Table]
    sources: dict[str, Source]
    skipped: dict[str, int]


def without_empty(tables: Mapping[str, pa.Table], columns: Sequence[str], sources: Mapping[str, Source]) -> Texts:
    """The rows of each split with a text in each of the columns; a column that is not there is not looked at.

    Raises:
        ConfigError: No row of a split is left.
    """
    found = Texts(dict(tables), dict(sources), {})
    for split, table in tables.items():
        empty = set(empty_rows(table, [each for each in columns if each in table.column_names]))
        kept = [row for row in range(table.num_rows) if row not in empty]
        if not kept:
            every = plural(table.num_rows, "row")
            raise ConfigError(f"{sources[split]}: none of {every} has a text in {', '.join(columns)}.")
        if empty:
            found.tables[split] = table.take(kept)
            found.sources[split] = dataclasses.replace(sources[split], rows=kept)
            found.skipped[split] = len(empty)
    return found
