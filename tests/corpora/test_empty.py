"""Rows without a text, which `skip_empty` leaves out."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kdray as kd
from kdray.corpora import Corpus, CorpusSettings, read_corpus
from kdray.errors import ConfigError

HEADER = "text,label"


def save_csv(file: Path, rows: list[str]) -> Path:
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    return file


def rows_of(number: int) -> list[str]:
    return [f"text {row},{('bad', 'good')[row % 2]}" for row in range(number)]


def read(folder: Path, *, labels: tuple[str, ...] = ("bad", "good"), **more: object) -> Corpus:
    settings = CorpusSettings.model_validate({"name": "folder", "path": str(folder), "labels": labels, **more})
    return read_corpus(settings, data_dir=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two of 22 training rows, and one of five test rows, have no text."""
    rows = rows_of(20)
    save_csv(tmp_path / "train.csv", [*rows[:3], ",good", *rows[3:9], '"  ",', *rows[9:]])
    save_csv(tmp_path / "test.csv", [*rows[:1], ",bad", *rows[1:4]])
    return tmp_path


def test_a_run_leaves_them_out_and_says_how_many(folder: Path) -> None:
    found = read(folder, skip_empty=True)
    ids = sorted((*found.splits["train"]["id"].to_pylist(), *found.splits["validation"]["id"].to_pylist()))
    assert ids == sorted(f"train:{row}" for row in range(22) if row not in (3, 10))
    assert found.splits["test"]["id"].to_pylist() == ["test:0", "test:2", "test:3", "test:4"]
    assert found.note is not None
    assert "rows without a text left out: 2 of train, 1 of test" in found.note


def test_without_the_setting_the_first_of_them_is_refused(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"train\.csv, line 5, column \"text\" is empty; .* corpus\.skip_empty = true\.$"
    ):
        read(folder)


def test_without_empty_rows_nothing_is_said(tmp_path: Path) -> None:
    save_csv(tmp_path / "train.csv", rows_of(20))
    save_csv(tmp_path / "test.csv", ["another,bad", "one more,good"])
    assert read(tmp_path, skip_empty=True).fingerprint == read(tmp_path).fingerprint
    assert read(tmp_path, skip_empty=True).note is None


def test_the_rest_is_read_with_the_lines_of_the_file(folder: Path) -> None:
    save_csv(folder / "test.csv", [",bad", "one,odd"])
    with pytest.raises(ConfigError, match=r"test\.csv, line 3, column \"label\" is 'odd'"):
        read(folder, skip_empty=True)


def test_a_split_without_any_text_is_refused(folder: Path) -> None:
    save_csv(folder / "test.csv", [",bad", ",good"])
    with pytest.raises(ConfigError, match=r"test\.csv: none of 2 rows has a text in text\.$"):
        read(folder, skip_empty=True)


def test_a_named_corpus_has_none() -> None:
    with pytest.raises(ValueError, match=r"skip_empty is used only with name = folder, but name = rte"):
        CorpusSettings(name="rte", skip_empty=True)


def test_rows_without_tokens_are_left_out(tmp_path: Path) -> None:
    rows: list[dict[str, list[str] | None]] = [{"tokens": ["Ann", "left"], "tags": ["B-PER", "O"]}] * 12
    rows[4] = {"tokens": [], "tags": []}
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"task": "token_classification", "columns": {"label": "tags"}, "labels": ("PER",)}
    assert len(read(tmp_path, skip_empty=True, **settings).splits["test"]) == 11
    with pytest.raises(ConfigError, match=r"line 5, column \"tokens\" has no token"):
        read(tmp_path, **settings)


def test_a_pair_needs_both_texts(tmp_path: Path) -> None:
    columns = {"first": ["a", "", "c", "d", "e"] * 8, "second": ["f", "g", None, "i", "j"] * 8}
    table = pa.table({**columns, "label": ["bad", "good", "bad", "good", "bad"] * 8})
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / f"{split}.parquet")
    pair = [{"name": "first", "role": "pair"}, {"name": "second", "role": "pair"}]
    assert len(read(tmp_path, skip_empty=True, fields=pair).splits["test"]) == 24


def test_in_python_they_are_left_out_before_rows_are_held_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = kd.Dataset.from_files(folder / "train.csv", skip_empty=True)
    assert sum(map(len, data.tables.values())) == 20
    assert data.notes[0] == "rows without a text left out: 2 of train"
    assert data.notes[0] in caplog.text
    assert "skip_empty" not in data.options
    both = kd.Dataset.from_files(folder / "train.csv", test=folder / "test.csv", skip_empty=True)
    assert both.tables["test"]["id"].to_pylist() == ["test-0", "test-2", "test-3", "test-4"]


def test_in_python_a_later_error_names_the_position_of_the_frame() -> None:
    frame = pd.DataFrame({"text": ["a", None, "b", "c"] * 10, "label": ["x", "x", "y", "y"] * 10})
    frame.loc[6, "label"] = "odd"
    with pytest.raises(ConfigError, match=r"position 6 \(the first is 0\)"):
        kd.Dataset.from_pandas(frame, labels=["x", "y"], skip_empty=True)
    with pytest.raises(ConfigError, match=r"skip_empty: expected true or false \(found 'maybe'\)"):
        kd.Dataset.from_pandas(frame.drop(index=6), skip_empty="maybe")
