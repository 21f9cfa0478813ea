"""One file of a corpus as a table: parquet, CSV or JSONL."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdray.corpora.lines import csv_rows, csv_table, ending, json_rows, undecodable
from kdray.corpora.source import Source
from kdray.errors import ConfigError, near_path, one_of, plural
from kdray.utf8 import is_text

_EXACT = 2**53  # whole numbers up to this one are the same as fractions


def find_file(folder: Path, split: str) -> Path | None:
    """The file of a split: `<split>.parquet`, `.csv` or `.jsonl`; None where there is none.

    Raises:
        ConfigError: where there is more than one, since they may differ.
    """
    if not folder.is_dir():
        return None
    there = [path for path in sorted(folder.iterdir()) if path.stem == split and path.is_file()]
    found = [path for suffix in READERS for path in there if ending(path) == suffix]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ConfigError(f"{folder.name} holds {names}: one file for each split is allowed, remove all but one.")
    return found[0] if found else None


def check_file(path: Path, *, shown: str = "", endings: Sequence[str] | None = None) -> None:
    """
    Args:
        shown: How errors name the path.
        endings: Those of `READERS` unless given.

    Raises:
        ConfigError: There is no such file, or it does not end so.
    """
    allowed = tuple(READERS) if endings is None else endings
    given = shown or str(path)
    wanted = f"give a file that ends in {one_of(allowed)}."
    if path.is_dir():
        raise ConfigError(f"{given} is a folder; {wanted}")
    if not path.is_file():
        fix = "check its name and folder." if ending(path) in allowed else wanted
        raise ConfigError(f"{given}: there is no such file; {near_path(path, allowed, otherwise=fix)}")
    if ending(path) not in allowed:
        raise ConfigError(f"{given}: the file must end in {one_of(allowed)}.")


def read_table(path: Path, shown: str) -> pa.Table:
    """Every row and column of a file. In a CSV every column is text: an empty cell is an empty text.

    Args:
        path: a file that `find_file` found.
        shown: how errors name it.

    Raises:
        ConfigError: the file is empty or does not have the format of its suffix.
    """
    if path.stat().st_size == 0:
        raise ConfigError(f"{shown} is empty: it must hold a header or schema and at least one row.")
    try:
        table = READERS[ending(path)](path, shown)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}, {undecodable(path)}; save it as UTF-8, or correct the line.") from error
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise unreadable(shown, ending(path), error) from error
    if len(set(table.column_names)) < table.num_columns:
        raise ConfigError(f"{shown} has two columns of one name: {', '.join(table.column_names)}; rename one.")
    if table.num_rows == 0:
        raise ConfigError(f"{shown} has no rows: at least one is needed.")
    return table


def unreadable(shown: object, suffix: str, error: Exception) -> ConfigError:
    """For a file that a library cannot read, with the first sentence of the library.

    >>> print(unreadable("train.parquet", ".parquet", OSError("No magic bytes. Is this a parquet file?")))
    train.parquet is damaged or not a parquet file (No magic bytes); write the file again.
    """
    reason = str(error).splitlines()[0].partition(". ")[0].rstrip(".") if str(error) else type(error).__name__
    return ConfigError(f"{shown} is damaged or not a {suffix[1:]} file ({reason}); write the file again.")


def _read_parquet(path: Path, shown: str) -> pa.Table:
    del shown
    with pq.ParquetFile(path) as file:
        table = file.read()
    table.validate(full=True)  # else damaged texts are found later, and not as such
    return table


def _read_csv(path: Path, shown: str) -> pa.Table:
    """Every cell as text: a row whose text is "NA", "1" or a date must not become a null, a number or a timestamp."""
    rows = csv_rows(path, shown)
    _, names = next(rows, (1, list[str]()))  # none: there is nothing but a byte order mark
    refuse_other_separator(names, shown)
    if len(set(names)) < len(names):
        raise ConfigError(f"{shown} has two columns of one name: {', '.join(names)}; rename one.")
    if (table := csv_table(path, names)) is not None:
        return table
    cells: list[list[str]] = []
    for line, row in rows:
        if len(row) != len(names):
            raise ConfigError(
                f"{shown}, line {line} has {plural(len(row), 'cell')}, but the header has {len(names)}: "
                "correct it, or put texts with commas into quotes."
            )
        cells.append(row)
    columns = list(zip(*cells, strict=True)) or [()] * len(names)
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})


def refuse_other_separator(names: Sequence[str], shown: object) -> None:
    """One column whose name holds another separator is several columns.

    Raises:
        ConfigError: It does.
    """
    for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
        if len(names) == 1 and mark in names[0]:
            raise ConfigError(
                f"{shown} is separated by {word} (its header is {names[0]!r}); save it with commas, or as JSON Lines "
                "or parquet."
            )


def _read_jsonl(path: Path, shown: str) -> pa.Table:
    rows: list[Mapping[str, Any]] = []
    for number, row in json_rows(path):
        if isinstance(row, str):
            raise ConfigError(f"{shown}, line {number} {row}.")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _json_column(rows, name, Source(shown, path)) for name in names})


def _json_column(rows: list[Mapping[str, Any]], name: str, source: Source) -> pa.Array:
    values = [row.get(name) for row in rows]
    kinds = list(dict.fromkeys(type(value) for value in values if value is not None))
    if set(kinds) == {int, float} and all(abs(v) <= _EXACT for v in values if type(v) is int):
        values = [None if value is None else float(value) for value in values]  # 1 and 0.5 are both numbers
    elif len(kinds) > 1:
        row = next(i for i, value in enumerate(values) if type(value) is kinds[1])
        raise ConfigError(
            f'{source}, {source.at(row)}, column "{name}" is of type {kinds[1].__name__}, but earlier rows '
            f"are of type {kinds[0].__name__}: a column must have one type."
        )
    try:
        return pa.array(values)
    except OverflowError as error:
        large = [i for i, value in enumerate(values) if isinstance(value, int) and not -(2**63) <= value < 2**63]
        where = f"{source.at(large[0])}, " if large else ""
        raise ConfigError(
            f'{source}, {where}column "{name}" has a whole number of more than 64 bits; write it as a text.'
        ) from error
    except UnicodeEncodeError as error:
        if kinds != [str]:
            raise
        row = next(i for i, value in enumerate(values) if value is not None and not is_text(value))
        raise ConfigError(
            f'{source}, {source.at(row)}, column "{name}" is not valid Unicode (half of a surrogate pair); '
            "correct or remove the row."
        ) from error


READERS: Mapping[str, Callable[[Path, str], pa.Table]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}
