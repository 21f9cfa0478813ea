"""Rows in messages: lines of CSV and JSON Lines, rows of parquet from 1, positions of Python from 0."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kdray as kd
from kdray.corpora.files import read_table
from kdray.corpora.source import Source
from kdray.errors import ConfigError

TEXTS = ["zero", "one\nof two lines", "two", "three"]


def write(folder: Path, suffix: str) -> Path:
    """The texts, in files with blank lines."""
    file = folder / f"rows{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"text": TEXTS}), file)
    elif suffix == ".csv":
        file.write_text('\ufeffid,text\n1,zero\n\n2,"one\nof two lines"\n3,two\n\n4,three\n')
    else:
        file.write_text('{"text": "zero"}\n\n{"text": "one\\nof two lines"}\n{"text": "two"}\n\n\n{"text": "three"}\n')
    return file


@pytest.mark.parametrize(
    ("suffix", "numbers", "several"),
    [
        (".csv", ["line 2", "line 4", "line 6", "line 8"], "lines 2, 6, 8"),
        (".jsonl", ["line 1", "line 3", "line 4", "line 7"], "lines 1, 4, 7"),
        (".parquet", [f"row {row} (the first is 1)" for row in (1, 2, 3, 4)], "rows 1, 3, 4 (the first is 1)"),
    ],
)
def test_a_row_of_a_file_has_the_number_that_is_seen_there(
    suffix: str, numbers: list[str], several: str, tmp_path: Path
) -> None:
    file = write(tmp_path, suffix)
    assert read_table(file, file.name)["text"].to_pylist() == TEXTS
    source = Source(file.name, file)
    assert [source.at(row) for row in range(4)] == numbers
    assert source.at(0, 2, 3) == several


def test_a_row_of_python_has_its_position() -> None:
    assert Source("data, train").at(0) == "position 0 (the first is 0)"
    assert Source("data, train").at(0, 1, 5, 9) == "positions 0, 1, 5 and 1 more (the first is 0)"


@pytest.mark.parametrize(
    ("more", "value", "sentence"),
    [
        ({"labels": ["bad", "good"]}, "odd", r"column \"queue\" is 'odd'; allowed are bad, good or their numbers from"),
        ({"task": "regression"}, "odd", r"column \"queue\" is 'odd'; allowed are"),
    ],
)
def test_a_label_is_refused_with_the_line_of_the_file(
    more: dict[str, Any], value: str, sentence: str, tmp_path: Path
) -> None:
    labels = ["1", "2"] if "task" in more else ["bad", "good"]
    rows = [f"text {row},{labels[row % 2]}" for row in range(40)]
    rows[30] = f"text 30,{value}"
    (tmp_path / "tickets.csv").write_text("\n".join(["text,queue", *rows]))
    with pytest.raises(ConfigError, match=rf"^tickets\.csv, line 32, {sentence}"):
        kd.Dataset.from_files(tmp_path / "tickets.csv", label="queue", **more)
    (tmp_path / "tickets.csv").write_text("\n".join(["text,queue", *rows[:30], ",good"]))
    with pytest.raises(
        ConfigError, match=r"^tickets\.csv, line 32: column 'text' is empty; remove the row, or give skip_empty=True\.$"
    ):
        kd.Dataset.from_files(tmp_path / "tickets.csv", label="queue", **more)
    (tmp_path / "tickets.csv").write_text("\n".join(["text,queue", *rows[:30], ",good", "two,bad", "  ,good"]))
    with pytest.raises(
        ConfigError, match=r"lines 32, 34: column 'text' is empty; remove these rows, or give skip_empty=True\.$"
    ):
        kd.Dataset.from_files(tmp_path / "tickets.csv", label="queue", **more)
