"""Strict lines of CSV: pyarrow reads what the csv module reads, or leaves the file to it."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdray.corpora import lines
from kdray.corpora.lines import csv_rows, csv_table
from kdray.errors import ConfigError

CELLS = st.text(st.sampled_from('ab",;\n\r\t \0é\u2028\ufeff'), max_size=4)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
ODD = st.sampled_from(["", '"', ",", "\n", "\r", '""', '",', ',"', "\n\n", "x", " ", "\0", "\ufeff"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "train.csv"


def written(rows: list[list[str]], end: str, quoting: int) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue()


def by_both(path: Path) -> tuple[list[list[str]] | None, list[list[str]] | None]:
    """The rows below the header by the csv module and by pyarrow; None is an error, or a file that is left out."""
    found = csv_rows(path, path)
    try:
        _, names = next(found)
    except (ConfigError, StopIteration):
        return None, None
    table = csv_table(path, names)
    try:
        plain = [row for _, row in found]
    except ConfigError:
        plain = None
    columns = [] if table is None else [column.to_pylist() for column in table.columns]
    return plain, None if table is None else [list(row) for row in zip(*columns, strict=True)]


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5), end=ENDS)
def test_quoted_cells_are_read_by_pyarrow(file: Path, rows: list[list[str]], end: str) -> None:
    file.write_bytes(written([["one", "two"], *rows], end, csv.QUOTE_ALL).encode())
    assert by_both(file) == (rows, rows)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=3), min_size=1, max_size=5),
    end=ENDS,
    quoting=QUOTING,
    odd=ODD,
    place=st.integers(0, 40),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_damaged_files_are_read_alike_or_left_to_the_csv_module(
    file: Path, rows: list[list[str]], end: str, quoting: int, odd: str, place: int, mark: str
) -> None:
    text = written(rows, end, quoting)
    file.write_bytes((mark + text[:place] + odd + text[place:]).encode())
    plain, fast = by_both(file)
    assert fast is None or fast == plain


@pytest.mark.parametrize("line", ['"a"b,c', 'a"b,c', 'a,"b', 'a,b"', "a", "a,b,c", 'a, "b"'])
def test_odd_lines_are_left_to_the_csv_module(file: Path, line: str) -> None:
    file.write_text(f'one,two\n"x, y",z\n{line}\n')
    assert csv_table(file, ["one", "two"]) is None


def test_rows_longer_than_a_block_are_left_to_the_csv_module(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("one,two\n" + "a,b\n" * 40 + "a" * 500 + ",b\n")
    assert csv_table(file, ["one", "two"]).num_rows == 41
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 100)
    assert csv_table(file, ["one", "two"]) is None
