"""CSV and JSON Lines, read strictly: what is not exactly in the format is an error that names its line."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from kdray.errors import ConfigError

_CSV_CELL_CHARACTERS = 64 << 20  # the csv module's own limit is 131,072
_BLOCK_BYTES = 16 << 20
_BOM = b"\xef\xbb\xbf"


def ending(path: Path) -> str:
    """The suffix that says how a file is read, in lower case.

    >>> ending(Path("Tickets.CSV"))
    '.csv'
    """
    return path.suffix.lower()


def undecodable(path: Path) -> str:
    """The first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"line {number} is not UTF-8 (byte 0x{line[error.start]:02x})"
    return "its end is not UTF-8"


def csv_rows(path: Path, shown: object) -> Iterator[tuple[int, list[str]]]:
    """The header and every row that is not blank, each with the number of the line on which it begins.

    Args:
        shown: How errors name the file.

    Raises:
        ConfigError: A quote is not closed, or something follows a closed one.
        UnicodeDecodeError: The file is not UTF-8.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _CSV_CELL_CHARACTERS))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)  # else a stray quote swallows the rows up to the next one
        begun = 1
        try:
            for row in reader:
                if row or begun == 1:
                    yield begun, row
                begun = reader.line_num + 1
        except csv.Error as error:
            raise ConfigError(
                f"{shown}, the row from line {begun} on cannot be read as csv ({error}): close its quotes, and double "
                "quotes inside them."
            ) from error


def csv_table(path: Path, names: Sequence[str]) -> pa.Table | None:
    """The columns as pyarrow reads them, some four times faster than `csv_rows`; None where the two may differ.

    Args:
        names: The header that `csv_rows` found.
    """
    with pa.OSFile(str(path)) as file:  # memory of pyarrow: its threads may free it while the interpreter ends
        content = file.read_buffer()
    if not _quotes_only_cells(content.to_pybytes().removeprefix(_BOM)):
        return None
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowException:
        return None
    return table.combine_chunks() if table.column_names == list(names) else None


def _quotes_only_cells(content: bytes) -> bool:
    """Whether every quote begins a cell, ends one, or is one of two; pyarrow accepts others, by rules of its own."""
    letters = np.frombuffer(b"\n" + content + b"\n", np.uint8)
    quotes = np.flatnonzero(letters == ord('"'))
    beside = np.concatenate([letters[quotes[0::2] - 1], letters[quotes[1::2] + 1]])
    return len(quotes) % 2 == 0 and bool(np.isin(beside, np.frombuffer(b',\r\n"', np.uint8)).all())


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Each line that is not blank: its number, and the object, or a clause with what is wrong with it."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, _json_row(text)
            except UnicodeDecodeError as error:
                at = f"byte 0x{error.object[error.start]:02x}"
                yield number, f"is not UTF-8 ({at}); save it as UTF-8, or correct the line"


def _json_row(text: str) -> dict[str, Any] | str:
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            twice.append(Counter(key for key, _ in pairs).most_common(1)[0][0])
        return found

    try:
        row = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:  # without its own count of lines
        return f"is not JSON ({error.msg} at character {error.pos + 1}): each line must be one JSON object"
    except RecursionError as error:
        return f"is not JSON ({error}): each line must be one JSON object"
    if twice:
        return f'has the key "{twice[0]}" twice: a row has one value in each column'
    return row if isinstance(row, dict) else f"is a JSON {type(row).__name__}: each line must be one JSON object"
