"""Predictions for files and folders."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from served import TEXTS

from kdray.engines.local import InProcess
from kdray.errors import ConfigError
from kdray.serve import files
from kdray.serve.files import Counts, Options, predict_file
from kdray.serve.folders import predict_folder
from kdray.serve.loading import open_scorer


@pytest.fixture
def scorer(student):
    return open_scorer(student)


def table_of(texts, **more):
    return pa.table({"id": [f"r{i}" for i in range(len(texts))], "text": texts, **more})


@pytest.mark.parametrize("target", ["out.parquet", "out.csv", "out.jsonl"])
@pytest.mark.parametrize("source", ["in.parquet", "in.csv", "in.jsonl"])
def test_every_kind_of_file_keeps_its_columns_and_order(scorer, tmp_path, monkeypatch, source, target):
    monkeypatch.setattr(files, "PART_ROWS", 3)  # several parts
    table = table_of(TEXTS * 2, stars=[1, 2, 3, 4] * 2)
    path = tmp_path / source
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pc.write_csv(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    counts = predict_file(scorer, path, tmp_path / target, Options())
    assert counts == Counts(rows=8)
    found = read(tmp_path / target)
    assert [row["id"] for row in found] == [f"r{i}" for i in range(8)]
    assert [int(row["stars"]) for row in found] == [1, 2, 3, 4] * 2
    scores = scorer.score([(text,) for text in TEXTS * 2]).values
    assert [row["prediction"] for row in found] == scorer.predictions(scores)
    assert [float(row["p:positive"]) for row in found] == pytest.approx(scores[:, 1].tolist(), abs=1e-6)
    assert [float(row["confidence"]) for row in found] == pytest.approx(scores.max(1).tolist(), abs=1e-6)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([source, target])


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".csv":
        return pc.read_csv(path).to_pylist()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_bad_rows_go_to_a_side_file_with_their_reason(scorer, tmp_path):
    pq.write_table(table_of(["good", None, "bad"]), tmp_path / "in.parquet")
    counts = predict_file(scorer, tmp_path / "in.parquet", tmp_path / "out.parquet", Options())
    assert (counts.rows, counts.rejected) == (3, 1)
    assert [row["id"] for row in read(tmp_path / "out.parquet")] == ["r0", "r2"]
    side = [json.loads(line) for line in (tmp_path / "out.parquet.rejected.jsonl").read_text().splitlines()]
    assert side == [{"row": 2, "reason": "the text 'text' is missing"}]


def test_a_blank_cell_of_a_csv_is_a_missing_text(scorer, tmp_path):
    (tmp_path / "in.csv").write_text('id,text\na,good\nb,\n,""\nc,"  "\n,bad\n')
    counts = predict_file(scorer, tmp_path / "in.csv", tmp_path / "out.jsonl", Options())
    assert (counts.rows, counts.rejected) == (5, 3)
    assert [(row["id"], row["text"]) for row in read(tmp_path / "out.jsonl")] == [("a", "good"), ("", "bad")]
    side = [json.loads(line) for line in (tmp_path / "out.jsonl.rejected.jsonl").read_text().splitlines()]
    assert side == [{"line": number, "reason": "the text 'text' is missing"} for number in (3, 4, 5)]


def test_lines_of_csv_with_other_numbers_of_cells_are_rejected(scorer, tmp_path):
    (tmp_path / "in.csv").write_text('id,text\na,"good\nfilm"\nb,bad,film\nc,bad\n')
    counts = predict_file(scorer, tmp_path / "in.csv", tmp_path / "out.jsonl", Options())
    assert (counts.rows, counts.rejected) == (3, 1)
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["a", "c"]
    assert json.loads((tmp_path / "out.jsonl.rejected.jsonl").read_text()) == {
        "line": 4,
        "reason": "it has 3 cells, but the header has 2",
    }


def test_lines_that_are_no_json_objects_are_rejected(scorer, tmp_path):
    lines = ['{"text": "good"}', "{", "[1]", '{"text": 3}', '{"text": "\\ud800"}', '{"text": "bad", "more": {"a": 1}}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    counts = predict_file(scorer, tmp_path / "in.jsonl", tmp_path / "out.jsonl", Options())
    assert (counts.rows, counts.rejected) == (6, 4)
    assert [row["text"] for row in read(tmp_path / "out.jsonl")] == ["good", "bad"]
    side = (tmp_path / "out.jsonl.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in side] == [2, 3, 4, 5]
    assert json.loads(side[2])["reason"] == "the text 'text' is 3, not a text"


def test_an_unsure_row_has_no_prediction(scorer, tmp_path):
    pq.write_table(table_of(TEXTS), tmp_path / "in.parquet")
    confidence = scorer.score([(text,) for text in TEXTS]).values.max(1)
    threshold = float(sorted(confidence)[2])
    counts = predict_file(
        scorer, tmp_path / "in.parquet", tmp_path / "out.parquet", Options(abstain_below=threshold, probabilities=False)
    )
    found = read(tmp_path / "out.parquet")
    assert counts.abstained == 2
    assert [row["prediction"] is None for row in found] == (confidence < threshold).tolist()
    assert "p:positive" not in found[0]


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        ({"id": ["a"]}, {}, r"in.parquet has no column 'text'; found: id. Name it with --column text=COLUMN"),
        ({"text": ["a"], "prediction": ["b"]}, {}, "has a column 'prediction' already"),
        ({"text": ["a"]}, {"columns": {"text": "review"}}, "has no column 'review'; found: text"),
        ({"text": pa.array([], pa.string())}, {}, "has no rows"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_nothing_behind(scorer, tmp_path, table, options, said):
    pq.write_table(pa.table(table), tmp_path / "in.parquet")
    with pytest.raises(ConfigError, match=said):
        predict_file(scorer, tmp_path / "in.parquet", tmp_path / "out.parquet", Options(**options))
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_lines_of_json_without_one_row_are_named_by_the_first(scorer, tmp_path):
    (tmp_path / "in.jsonl").write_text("{broken\nhello\n")
    with pytest.raises(ConfigError, match=r"in.jsonl, line 1: the line is not .*; no line of the file holds a row\.$"):
        predict_file(scorer, tmp_path / "in.jsonl", tmp_path / "out.jsonl", Options())


def test_suffixes_may_be_in_capitals(scorer, tmp_path):
    (tmp_path / "IN.CSV").write_text("text\na good film\na bad film\n")
    assert predict_file(scorer, tmp_path / "IN.CSV", tmp_path / "OUT.JSONL", Options()).rows == 2
    assert len((tmp_path / "OUT.JSONL").read_text().splitlines()) == 2


def test_an_existing_file_is_never_replaced(scorer, tmp_path):
    pq.write_table(table_of(TEXTS), tmp_path / "in.parquet")
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        predict_file(scorer, tmp_path / "in.parquet", tmp_path / "out.csv", Options())
    with pytest.raises(ConfigError, match=r"the file must end in"):
        predict_file(scorer, tmp_path / "in.parquet", tmp_path / "out.xlsx", Options())


def test_a_folder_resumes_with_the_remaining_files(student, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        pq.write_table(table_of(TEXTS), tmp_path / "in" / f"{name}.parquet")
    more = {"suffix": ".jsonl", "cpus": 1, "gpus": 0}
    out = tmp_path / "out"
    first = predict_folder(student, tmp_path / "in", out, Options(), InProcess(), **more)
    assert first == {"a.jsonl": Counts(4), "b.jsonl": Counts(4)}
    before = (out / "a.jsonl").stat().st_mtime_ns
    (out / "b.jsonl").unlink()
    assert list(predict_folder(student, tmp_path / "in", out, Options(), InProcess(), **more)) == ["b.jsonl"]
    assert (out / "a.jsonl").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="predictions of another model or with other options"):
        predict_folder(student, tmp_path / "in", out, Options(abstain_below=0.9), InProcess(), **more)
    with pytest.raises(ConfigError, match="holds other files"):
        predict_folder(student, tmp_path / "in", tmp_path, Options(), InProcess(), **more)


def test_workers_with_another_working_folder_find_the_files_of_a_folder(student, tmp_path, monkeypatch):
    class Elsewhere(InProcess):
        def run_many(self, *given, **more):
            monkeypatch.chdir(tmp_path / "of-a-worker")
            return super().run_many(*given, **more)

    for name in ("in", "of-a-worker"):
        (tmp_path / name).mkdir()
    (tmp_path / "model").symlink_to(student)
    pq.write_table(table_of(TEXTS), tmp_path / "in" / "a.parquet")
    monkeypatch.chdir(tmp_path)
    more = {"suffix": None, "cpus": 1, "gpus": 0}
    found = predict_folder(Path("model"), Path("in"), Path("out"), Options(), Elsewhere(), **more)
    assert found == {"a.parquet": Counts(4)}
    assert (tmp_path / "out/a.parquet").exists()


def test_a_stray_quote_swallows_no_rows(scorer, tmp_path):
    (tmp_path / "in.csv").write_text('text\ngood\n"bad\n' + "film\n" * 50)
    with pytest.raises(ConfigError, match=r"in.csv, the row from line 3 on cannot be read as csv .*: close its quotes"):
        predict_file(scorer, tmp_path / "in.csv", tmp_path / "out.csv", Options())
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_another_separator_is_named_before_the_quotes_that_it_breaks(scorer, tmp_path):
    (tmp_path / "in.csv").write_text('text;label\n"a good; film";1\n')
    with pytest.raises(ConfigError, match=r"in.csv is separated by semicolons \(its header is 'text;label'\)"):
        predict_file(scorer, tmp_path / "in.csv", tmp_path / "out.csv", Options())


@pytest.mark.parametrize("suffix", [".csv"])
def test_bytes_that_are_no_text_are_named_by_their_line(scorer, tmp_path, suffix):
    (tmp_path / f"in{suffix}").write_bytes(b"text\ngood\nb\xe4d\n")
    with pytest.raises(ConfigError, match=r"in.csv, line 3 is not UTF-8 \(byte 0xe4\); save it as UTF-8"):
        predict_file(scorer, tmp_path / f"in{suffix}", tmp_path / "out.csv", Options())


def test_a_column_for_a_text_that_the_model_lacks_is_refused(scorer, tmp_path):
    pq.write_table(table_of(TEXTS), tmp_path / "in.parquet")
    with pytest.raises(ConfigError, match=r"--column title=...: the model has no such text; it has text"):
        predict_file(scorer, tmp_path / "in.parquet", tmp_path / "out.csv", Options({"title": "text"}))


def test_predictions_of_an_earlier_version_of_a_file_are_not_kept(student, tmp_path):
    (tmp_path / "in").mkdir()
    more = {"suffix": None, "cpus": 1, "gpus": 0}
    pq.write_table(table_of(TEXTS), tmp_path / "in" / "a.parquet")
    predict_folder(student, tmp_path / "in", tmp_path / "out", Options(), InProcess(), **more)
    pq.write_table(table_of(TEXTS * 2), tmp_path / "in" / "a.parquet")
    with pytest.raises(ConfigError, match=r"a.parquet has predictions of an earlier version of its file; remove"):
        predict_folder(student, tmp_path / "in", tmp_path / "out", Options(), InProcess(), **more)
    (tmp_path / "out" / "a.parquet").unlink()
    assert predict_folder(student, tmp_path / "in", tmp_path / "out", Options(), InProcess(), **more) == {
        "a.parquet": Counts(8)
    }


def test_a_bad_file_does_not_keep_the_others_from_their_predictions(student, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_bytes(b"text\n\xff\n")
    (tmp_path / "in" / "b.csv").write_text("text\ngood\n")
    with pytest.raises(ConfigError, match=r"^1 of 2 files have no predictions\. .*a.csv, line 2 is not UTF-8"):
        predict_folder(student, tmp_path / "in", tmp_path / "out", Options(), InProcess(), suffix=None, cpus=1, gpus=0)
    assert (tmp_path / "out" / "b.csv").exists()
