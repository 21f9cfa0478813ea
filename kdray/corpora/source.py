"""How messages name rows: as a person finds them where they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kdray.corpora.lines import csv_rows, ending, json_rows
from kdray.errors import listed


@dataclass(frozen=True)
class Source:
    """Where rows are from.

    A row of a CSV or JSON Lines file has the number of its line, as editors show it; a row of parquet has its number
    from 1; and a row of Python (a DataFrame, a list) its position from 0.

    Attributes:
        name: As messages name it.
        file: None of rows that are not in a file.
        rows: Where some rows were left out, the positions of those that remain; None where all did.
    """

    name: str
    file: Path | None = None
    rows: Sequence[int] | None = None

    def __str__(self) -> str:
        return self.name

    def position(self, row: int) -> int:
        """Of a row that remains: its position among all rows."""
        return int(row) if self.rows is None else self.rows[row]

    def at(self, *rows: int) -> str:
        """
        Args:
            rows: Their positions, in order; of many, the first three are named.

        >>> Source("a frame").at(7)
        'position 7 (the first is 0)'
        >>> Source("train.parquet", Path("train.parquet")).at(0, 1, 2, 5, 8)
        'rows 1, 2, 3 and 2 more (the first is 1)'
        """
        named = [self.position(row) for row in rows[:3]]
        word, numbers, note = "position", named, " (the first is 0)"
        if self.file is not None:
            by_line = ending(self.file) != ".parquet"
            word, note = ("line", "") if by_line else ("row", " (the first is 1)")
            numbers = _lines_of(self.file, named) if by_line else [row + 1 for row in named]
        return f"{word}{'s' if len(rows) > 1 else ''} {listed(numbers, len(rows))}{note}"


def _lines_of(file: Path, rows: Sequence[int]) -> list[int]:
    """The lines of rows that were read from the file."""
    found = islice(csv_rows(file, file), 1, None) if ending(file) == ".csv" else json_rows(file)
    wanted = {row: number for row, (number, _) in enumerate(islice(found, max(rows) + 1)) if row in rows}
    return [wanted[row] for row in rows]
