"""Files of a corpus, damaged: what is read is what a second reader finds, anything else is refused."""

import io
import json
import random
import re
from pathlib import Path
from typing import Any

import fuzzing
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdray.corpora.files import read_table

pytestmark = pytest.mark.fuzz

ROWS = [
    {"id": "a", "text": "A good film, and a long one.", "label": "positive", "stars": 4},
    {"id": "b", "text": 'He said "no".\nThen he left.', "label": "negative", "stars": 1},
    {"id": "c", "text": "Ünïcödé 😀", "label": "positive", "stars": 5},
    {"id": "d", "text": "", "label": "negative", "stars": -3},
]


def csv_file() -> bytes:
    lines = [
        "id,text,label",
        *(f'{r["id"]},"{str(r["text"]).replace(chr(34), chr(34) * 2)}",{r["label"]}' for r in ROWS),
    ]
    return ("\n".join(lines) + "\n").encode()


CSV_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n][^,\r\n]*|))(,|\r\n|\n|\r|\Z)')


def csv_rows(text: str) -> list[list[str]]:
    """A reader of its own (RFC 4180; CR alone ends a line too). Blank lines are left out.

    Raises:
        ValueError: A quote is not closed, or something follows one.
    """
    rows, row, place = list[list[str]](), list[str](), 0
    while place < len(text) or row:
        cell = CSV_CELL.match(text, place)
        if cell is None:
            raise ValueError(f"no cell begins at {place}")
        quoted, plain, end = cell.groups()
        row.append(plain if quoted is None else quoted.replace('""', '"'))
        if end != ",":
            if row != [""] or quoted is not None:
                rows.append(row)
            row = []
        place = cell.end()
    return rows


def test_csv(tmp_path: Path) -> None:
    path, bases = tmp_path / "train.csv", [csv_file(), csv_file(), b"a,b\n1,2\n", b"a\n", b"\xef\xbb\xbf"]

    def case(draw: random.Random) -> None:
        path.write_bytes(content := fuzzing.damaged(draw, draw.choice(bases)))
        table = read_table(path, "train.csv")
        names, *rows = csv_rows(content.decode("utf-8-sig"))
        assert table.column_names == names, content
        assert [list(row.values()) for row in table.to_pylist()] == rows, content

    fuzzing.run_cases("csv", case)


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    whole = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()

    def case(draw: random.Random) -> None:
        content = fuzzing.damaged(draw, whole)
        if draw.random() < 0.5:  # still JSON
            rows = [fuzzing.changed(draw, row) if draw.random() < 0.5 else row for row in ROWS]
            content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(content)
        table = read_table(path, "train.jsonl")
        rows = [json.loads(line) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
        for name in table.column_names:
            values = [row.get(name) for row in rows]
            if {type(value) for value in values if value is not None} == {int, float}:
                values = [None if value is None else float(value) for value in values]
            if not any(isinstance(value, dict | list) for value in values):  # such a column is refused where it is used
                assert [repr(value) for value in table[name].to_pylist()] == [repr(value) for value in values], content
        assert set(table.column_names) == {name for row in rows for name in row}

    fuzzing.run_cases("jsonl", case)


def test_parquet(tmp_path: Path) -> None:
    path, buffer = tmp_path / "train.parquet", io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer)

    def case(draw: random.Random) -> None:
        path.write_bytes(fuzzing.damaged(draw, buffer.getvalue()))
        table = read_table(path, "train.parquet")
        table.validate(full=True)  # a flipped bit in a value cannot be seen: the format has no checksum by default

    fuzzing.run_cases("parquet", case)


def reference(text: str) -> Any:
    try:
        return csv_rows(text)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a,b\n"x\n""y""",z\r\n\r\n,\n', [["a", "b"], ['x\n"y"', "z"], ["", ""]]),
        ('a\r"', None),
        ('"a"b', None),
        ('""', [[""]]),
        ('a"b,c', [['a"b', "c"]]),
    ],
)
def test_the_reference_reader_follows_the_rfc(text: str, rows: Any) -> None:
    assert reference(text) == rows
