import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pages
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from kdray.corpora import TASKS, CorpusSettings, Field, kdray_data, read_corpus, resolve_auto
from kdray.corpora.hub import from_hub
from kdray.corpora.tasks import HubSource
from kdray.errors import ConfigError

PAIR = (Field("a", "context"), Field("b", "query"))
ROWS = [
    {"a": 'He said "no",\nand left.', "b": "He left.", "label": "yes"},
    {"a": "Ünïcode ✓", "b": "NA", "label": "no"},
    {"a": "2024-01-01", "b": "1", "label": "yes"},
    {"a": " spaces kept ", "b": "null", "label": "no"},
]


def write(folder, split, rows, suffix=".jsonl"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def texts(count, **more):
    return [{"text": f"text {i}", "label": i % 2, **more} for i in range(count)]


def own(folder, **more):
    return CorpusSettings(**({"name": "folder", "path": str(folder), "labels": ("no", "yes")} | more))


def read_own(folder, **more):
    return read_corpus(own(folder, **more), data_dir=None)


def refusal(folder, **more):
    with pytest.raises(ConfigError) as caught:
        read_own(folder, **more)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def with_train(folder, rows, suffix=".jsonl"):
    """A folder with these rows to train on and four good ones to report."""
    write(folder, "train", rows, suffix)
    write(folder, "test", [row | {"text": f"new {row['text']}"} for row in texts(4)])
    return folder


def glue_rows(count, first="sentence1", second="sentence2", classes=2):
    return [
        {first: f"premise {i} of {count}", second: f"then {i}", "label": i % classes, "idx": i} for i in range(count)
    ]


def write_rte(data_dir, *, train=20, validation=4):
    write(data_dir / "rte", "train", glue_rows(train), ".parquet")
    write(data_dir / "rte", "validation", glue_rows(validation), ".parquet")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty Hugging Face cache and a hub that is not asked."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


# --- what is read


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_every_format_gives_the_same_corpus(tmp_path, suffix):
    for kind in (suffix, ".parquet"):
        write(tmp_path / kind, "train", ROWS * 3, kind)
        write(tmp_path / kind, "test", ROWS, kind)
    one = read_own(tmp_path / suffix, fields=PAIR, validation_fraction=0.5)
    other = read_own(tmp_path / ".parquet", fields=PAIR, validation_fraction=0.5)
    assert one.fingerprint == other.fingerprint
    assert one.splits["test"].equals(other.splits["test"])
    assert one.splits["test"]["a"].to_pylist() == [row["a"] for row in ROWS]
    assert one.splits["test"]["label"].to_pylist() == [1, 0, 1, 0]


def test_compression_does_not_change_the_fingerprint(tmp_path):
    for kind in ("zstd", "none"):
        folder = with_train(tmp_path / kind, texts(20))
        (folder / "train.jsonl").unlink()
        pq.write_table(pa.Table.from_pylist(texts(20)), folder / "train.parquet", compression=kind)
    assert read_own(tmp_path / "zstd").fingerprint == read_own(tmp_path / "none").fingerprint


@pytest.mark.parametrize(
    "change", [{"text": "other"}, {"label": 1}, {"text": "text 0 "}], ids=["text", "label", "white space"]
)
def test_any_change_changes_the_fingerprint(tmp_path, change):
    rows = texts(20)
    before = read_own(with_train(tmp_path / "before", rows))
    after = read_own(with_train(tmp_path / "after", [rows[0] | change, *rows[1:]]))
    assert before.fingerprint != after.fingerprint


def test_tables_have_ids_fields_and_labels(tmp_path):
    report = read_own(with_train(tmp_path, texts(20))).splits["test"]
    assert report.schema.equals(pa.schema({"id": pa.string(), "text": pa.string(), "label": pa.int64()}))
    assert report["id"].to_pylist() == ["test:0", "test:1", "test:2", "test:3"]


def test_ids_are_unique_over_the_corpus(tmp_path):
    write_rte(tmp_path)
    splits = read_corpus(CorpusSettings(name="rte"), data_dir=tmp_path).splits
    ids = [each for table in splits.values() for each in table["id"].to_pylist()]
    assert len(set(ids)) == len(ids) == 24


def test_own_ids_are_kept(tmp_path):
    rows = [row | {"id": f"x{i}"} for i, row in enumerate(texts(20))]
    corpus = read_own(with_train(tmp_path, rows))
    carved = set(corpus.splits["train"]["id"].to_pylist()) | set(corpus.splits["validation"]["id"].to_pylist())
    assert carved == {f"train:x{i}" for i in range(20)}


def test_columns_are_mapped(tmp_path):
    rows = [{"review": f"text {i}", "gold": "yes" if i % 2 else "no", "uid": i} for i in range(20)]
    write(tmp_path, "train", rows)
    write(tmp_path, "test", rows[:4])
    corpus = read_own(tmp_path, columns={"text": "review", "label": "gold", "id": "uid"})
    assert corpus.task.fields == (Field("text", "body"),)
    assert corpus.splits["test"].to_pylist()[1] == {"id": "test:1", "text": "text 1", "label": 1}


def test_one_text_column_is_the_body(tmp_path):
    corpus = read_own(with_train(tmp_path, texts(20, source_row=3)))
    assert corpus.task.fields == (Field("text", "body"),)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_stars_of_1_to_5_are_names_and_no_positions(tmp_path, suffix):
    rows = [{"text": f"text {i}", "label": 1 + i % 5} for i in range(60)]
    write(tmp_path, "train", rows, suffix)
    write(tmp_path, "test", rows[:5], suffix)
    stars = ("1", "2", "3", "4", "5")
    assert read_own(tmp_path, labels=stars).splits["test"]["label"].to_pylist() == [0, 1, 2, 3, 4]
    assert read_own(tmp_path, labels=stars[::-1]).splits["test"]["label"].to_pylist() == [4, 3, 2, 1, 0]
    write(tmp_path, "test", [{"text": "a", "label": 0}], suffix)
    allowed = "allowed are 1, 2, 3, 4, 5, or -1 for a row without a label."
    assert refusal(tmp_path, labels=stars).endswith(f"is '0'; {allowed}")


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_a_csv_with_another_separator_is_refused_by_its_name(tmp_path, mark, word):
    write(tmp_path, "test", texts(4))
    for text in ("text", "a, text"):
        (tmp_path / "train.csv").write_text(f"text{mark}label\n{text}{mark}0\n")
        assert f"train.csv is separated by {word} (its header is 'text" in refusal(tmp_path)


def test_test_rows_that_are_in_train_make_a_note(tmp_path):
    rows = texts(40)
    write(tmp_path, "train", rows)
    write(tmp_path, "test", [{"text": "new", "label": 0}, *rows[:3], {"text": "text 4 ", "label": 0}])
    corpus = read_own(tmp_path)
    train = set(corpus.splits["train"]["text"].to_pylist())  # a tenth of the rows is carved off
    count = sum(text in train for text in corpus.splits["test"]["text"].to_pylist())
    assert 1 <= count <= 3
    assert corpus.note == f"{count} of 5 test rows are word for word in train"
    write(tmp_path, "test", [{"text": "new", "label": 0}])
    assert read_own(tmp_path).note is None


def test_rows_of_two_texts_are_the_same_if_both_are(tmp_path):
    rows = [{"a": f"a {i}", "b": "same", "label": i % 2} for i in range(40)]
    write(tmp_path, "train", rows)
    write(tmp_path, "test", [{"a": f"a {i}", "b": "other", "label": 0} for i in range(4)])
    fields = (Field("a", "context"), Field("b", "query"))
    assert read_own(tmp_path, fields=fields).note is None
    write(tmp_path, "test", [{"a": f"a {i}", "b": "same", "label": 0} for i in range(40)])
    assert read_own(tmp_path, fields=fields).note == "36 of 40 test rows are word for word in train"


def test_hidden_labels_are_null_in_train(tmp_path):
    rows = texts(20)
    rows[3]["label"] = -1
    train = read_own(with_train(tmp_path, rows)).splits["train"]
    hidden = [row["id"] for row in train.to_pylist() if row["label"] is None]
    assert hidden == ["train:3"]


def test_an_empty_csv_cell_means_unlabeled(tmp_path):
    rows = texts(20)
    rows[3]["label"] = ""
    corpus = read_own(with_train(tmp_path, rows, ".csv"))
    assert corpus.splits["train"]["label"].null_count == 1
    rows = corpus.splits["train"].num_rows
    assert corpus.note == (
        f"1 of {rows} train rows without a label: students learn from them by the teachers' outputs alone; "
        "method finetune leaves them out"
    )


def test_test_is_reported_and_validation_selected_on(tmp_path):
    with_train(tmp_path, texts(20))
    write(tmp_path, "validation", texts(6))
    splits = read_own(tmp_path).splits
    assert {name: table.num_rows for name, table in splits.items()} == {"train": 20, "validation": 6, "test": 4}
    assert splits["validation"]["id"][0].as_py() == "validation:0"


def test_validation_is_the_test_split_if_there_is_no_test_file(tmp_path):
    write(tmp_path, "train", texts(20))
    write(tmp_path, "validation", texts(6))
    splits = read_own(tmp_path).splits
    assert {name: table.num_rows for name, table in splits.items()} == {"train": 18, "validation": 2, "test": 6}


def test_folds_pool_train_and_validation_and_leave_test_as_it_is(tmp_path):
    whole = read_own(with_train(tmp_path, texts(20))).splits
    folds = [read_own(tmp_path, fold={"index": index, "of": 3}) for index in range(3)]
    pool = sorted(whole["train"]["id"].to_pylist() + whole["validation"]["id"].to_pylist())
    assert sorted(row for each in folds for row in each.splits["validation"]["id"].to_pylist()) == pool
    for each in folds:
        assert sorted(each.splits["train"]["id"].to_pylist() + each.splits["validation"]["id"].to_pylist()) == pool
        assert each.splits["train"].column_names == whole["train"].column_names
        assert each.splits["test"].equals(whole["test"])
    assert folds[1].note == "fold 2 of 3 of train and validation"
    assert len({each.fingerprint for each in folds}) == 3


def test_refuses_folds_of_a_corpus_with_a_validation_split(tmp_path):
    with_train(tmp_path, texts(20))
    write(tmp_path, "validation", texts(6))
    with pytest.raises(ConfigError, match="for selection, which is not pooled with train; leave it out"):
        read_own(tmp_path, fold={"index": 0, "of": 2})
    with pytest.raises(ValidationError, match="fold cannot be set: emotion has a validation split for selection"):
        CorpusSettings.model_validate({"name": "emotion", "fold": {"index": 0, "of": 2}})


def test_refuses_a_fold_that_is_none(tmp_path):
    with pytest.raises(ValidationError, match="index = 2 must be below of = 2: the first fold is 0"):
        CorpusSettings.model_validate({"name": "rte", "fold": {"index": 2, "of": 2}})
    with pytest.raises(ValidationError, match=r"validation_fraction = 0\.2 has no effect where fold is set"):
        CorpusSettings.model_validate({"name": "rte", "validation_fraction": 0.2, "fold": {"index": 0, "of": 2}})


def test_a_folder_is_never_taken_for_a_named_corpus(tmp_path):
    corpus = read_own(with_train(tmp_path / "rte", texts(20)))
    assert (corpus.task.name, corpus.origin) == ("folder-rte", "folder rte")


def test_metrics_may_be_chosen(tmp_path):
    write_rte(tmp_path)
    corpus = read_corpus(CorpusSettings(name="rte", metrics=("f1",)), data_dir=tmp_path)
    assert corpus.task.metrics == ("f1",)


def test_mnli_takes_extra_train_rows_and_reports_both_halves(tmp_path):
    folder = tmp_path / "mnli"
    rows = glue_rows(30, "premise", "hypothesis", classes=3)
    write(folder, "train", rows, ".parquet")
    for split in ("train_extra", "validation_matched", "validation_mismatched"):
        write(folder, split, rows[:6], ".parquet")
    corpus = read_corpus(CorpusSettings(name="mnli"), data_dir=tmp_path)
    sizes = {name: table.num_rows for name, table in corpus.splits.items()}
    assert sizes == {"train": 32, "validation": 4, "test": 6, "report_mm": 6}
    assert "subset, 36 of 392,702 train rows" in (corpus.note or "")
    assert corpus.splits["report_mm"]["id"][0].as_py() == "validation_mismatched:0"


def test_reads_the_sample():
    corpus = read_corpus(CorpusSettings(name="sample"), data_dir=None)
    assert corpus.is_sample
    assert (corpus.note or "").startswith("the sample that ships with kdray, not a benchmark")
    assert set(corpus.splits) == {"train", "validation", "test"}


# --- what is said about it


def test_row_counts_make_the_note_where_there_is_no_manifest(tmp_path):
    write_rte(tmp_path)
    corpus = read_corpus(CorpusSettings(name="rte"), data_dir=tmp_path)
    assert corpus.note == "subset, 20 of 2,490 train rows; subset, 4 of 277 validation rows"
    assert (corpus.origin, corpus.is_sample) == ("KDRAY_DATA/rte", False)


def test_a_manifest_makes_the_note(tmp_path):
    write_rte(tmp_path)
    splits = {
        "train": {"rows": 20, "full_rows": 1500},
        "validation": {"rows": 4, "full_rows": None, "note": "an own hold-out"},
        "missing": ["test"],
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"rte": splits}))
    corpus = read_corpus(CorpusSettings(name="rte"), data_dir=tmp_path)
    assert corpus.note == "subset, 20 of 1,500 train rows; validation: an own hold-out"


def test_labels_of_one_row_are_in_the_note(tmp_path):
    labels, rows = ("no", "yes", "maybe"), [*texts(18), {"text": "perhaps", "label": 2}]
    assert read_own(with_train(tmp_path, rows), labels=labels).note is None  # too few to be surprising
    corpus = read_own(with_train(tmp_path, [*texts(24), *rows[-1:]]), labels=labels)
    assert corpus.note == "label 'maybe' has only 1 of 25 rows, so it cannot be in both train and validation"
    assert [split for split, table in corpus.splits.items() if 2 in table["label"].to_pylist()] == ["train"]
    write(tmp_path, "validation", texts(4))
    assert read_own(tmp_path, labels=labels).note == "label 'maybe' has only 1 of 25 rows"
    lone = [{"text": f"perhaps {number}", "label": number} for number in range(2, 7)]
    several = read_own(with_train(tmp_path, [*texts(24), *lone]), labels=(*labels, "a", "b", "c", "d"))
    assert several.note == "labels 'a', 'b', 'c' and 2 more each have only 1 of 29 rows"


def test_a_limit_is_in_the_note(tmp_path):
    with_train(tmp_path, texts(40))
    corpus = read_own(tmp_path, limit=20)
    assert corpus.note == "limited to 20 of 40 train rows"
    assert (corpus.splits["train"].num_rows, corpus.splits["validation"].num_rows) == (18, 2)


def test_refuses_files_that_the_manifest_does_not_describe(tmp_path):
    write_rte(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"rte": {"train": {"rows": 21, "full_rows": 21}}}))
    with pytest.raises(ConfigError, match=r"KDRAY_DATA/rte/train has 20 rows, but manifest\.json states 21"):
        read_corpus(CorpusSettings(name="rte"), data_dir=tmp_path)


@pytest.mark.parametrize("content", ["[", "[]", '{"rte": {"train": 3}}'])
def test_refuses_a_broken_manifest(tmp_path, content):
    write_rte(tmp_path)
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ConfigError, match=r"KDRAY_DATA/manifest\.json cannot be used"):
        read_corpus(CorpusSettings(name="rte"), data_dir=tmp_path)


# --- where it is looked for


def test_a_named_corpus_is_never_replaced(tmp_path, offline):
    with pytest.raises(ConfigError) as caught:
        read_corpus(CorpusSettings(name="rte"), data_dir=tmp_path)
    assert str(caught.value) == (
        "The corpus rte was not found: KDRAY_DATA has no folder rte, it is not in the Hugging Face cache, and the hub "
        "is unreachable; set KDRAY_DATA to a folder that holds rte/train.parquet and its other splits, or go online."
    )
    with pytest.raises(ConfigError, match="KDRAY_DATA is not set"):
        read_corpus(CorpusSettings(name="rte"), data_dir=None)


def test_auto_takes_the_real_corpus_where_it_can(tmp_path, offline):
    name, reason = resolve_auto("rte", data_dir=tmp_path)
    assert name == "sample"
    assert reason.startswith("rte was not found: KDRAY_DATA has no folder rte")
    write_rte(tmp_path)
    assert resolve_auto("rte", data_dir=tmp_path) == ("rte", "rte is in KDRAY_DATA")


@pytest.mark.parametrize("name", ["sample", "folder", "unknown"])
def test_auto_is_only_for_named_tasks(name):
    with pytest.raises(ConfigError, match=f"auto cannot resolve to {name}, allowed are rte, sst2"):
        resolve_auto(name, data_dir=None)


def test_reads_the_hugging_face_cache(tmp_path, offline, caplog):
    from datasets import ClassLabel, Dataset, Features, SplitDict, SplitInfo, Value

    features = Features(
        sentence1=Value("string"), sentence2=Value("string"), label=ClassLabel(names=["a", "b"]), idx=Value("int32")
    )
    entry = offline / "nyu-mll___glue" / "rte" / "0.0.0" / "0123abcd"
    infos = SplitDict(dataset_name="glue")
    for split, count in (("train", 20), ("validation", 4), ("test", 3)):
        rows = Dataset.from_list(glue_rows(count), features=features)
        rows.save_to_disk(tmp_path / split)
        entry.mkdir(parents=True, exist_ok=True)
        (tmp_path / split / "data-00000-of-00001.arrow").rename(entry / f"glue-{split}.arrow")
        infos.add(SplitInfo(split, num_examples=count, dataset_name="glue"))
    info = rows.info.copy()
    info.splits, info.config_name, info.builder_name, info.dataset_name = infos, "rte", "parquet", "glue"
    info.write_to_directory(str(entry))
    corpus = read_corpus(CorpusSettings(name="rte"), data_dir=None)
    assert corpus.origin == "Hugging Face cache, nyu-mll/glue (rte)"
    write_rte(tmp_path)
    assert corpus.fingerprint == read_corpus(CorpusSettings(name="rte"), data_dir=tmp_path).fingerprint
    assert resolve_auto("rte", data_dir=None) == ("rte", "rte is in the Hugging Face cache")
    assert from_hub(HubSource("nyu-mll/glue", "rte"))["train"].features["label"].names == ["a", "b"]
    assert "HF_HUB_OFFLINE; the rows are those of the Hugging Face cache" in caplog.text


def test_kdray_data_must_be_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KDRAY_DATA", str(tmp_path))
    assert kdray_data() == tmp_path
    monkeypatch.setenv("KDRAY_DATA", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="gone is not a folder: set it to one"):
        kdray_data()
    monkeypatch.delenv("KDRAY_DATA")
    assert kdray_data() is None


# --- what is refused


def test_reads_files_whose_suffix_is_in_capitals(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.CSV").write_text("text,label\n" + "".join(f"a {n},{n % 2}\n" for n in range(20)))
    found = read_own(tmp_path)
    assert found.splits["test"].num_rows == 20
    (tmp_path / "test.CSV").write_text("text,label\na,0\nb,7\n")
    assert "test.CSV, line 3, column \"label\" is '7'" in refusal(tmp_path)
    (tmp_path / "test.csv").write_text("text,label\na,0\n")
    assert "holds test.CSV and test.csv: one file for each split is allowed" in refusal(tmp_path)


def test_refuses_a_missing_folder_or_split(tmp_path):
    assert "is not a folder; give one that holds train and test" in refusal(tmp_path / "gone")
    write(tmp_path, "train", texts(20))
    assert refusal(tmp_path) == (
        f"folder {tmp_path.name} has no test split and no validation split: a file of one of the two that ends in "
        ".parquet, .csv or .jsonl is needed; in Python, "
        'kd.Dataset.from_files("train.jsonl", text=..., label=...) needs only one file.'
    )
    file = tmp_path / "train.jsonl"
    assert refusal(file) == (
        f"corpus.path = {file} is a file: divide its rows into train.jsonl and test.jsonl in a folder and give that, "
        'or use kd.Dataset.from_files("train.jsonl", text=..., label=...) in Python.'
    )


def test_refuses_two_files_of_one_split(tmp_path):
    with_train(tmp_path, texts(20))
    write(tmp_path, "train", texts(20), ".csv")
    assert "holds train.csv and train.jsonl: one file for each split" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_refuses_an_empty_file(tmp_path, suffix):
    with_train(tmp_path, texts(20)).joinpath("train.jsonl").unlink()
    (tmp_path / f"train{suffix}").touch()
    assert f"folder {tmp_path.name}/train{suffix} is empty" in refusal(tmp_path)


def test_refuses_a_file_without_rows(tmp_path):
    with_train(tmp_path, texts(20)).joinpath("train.jsonl").unlink()
    (tmp_path / "train.csv").write_text("text,label\n")
    assert "train.csv has no rows: at least one is needed" in refusal(tmp_path)


def test_refuses_corrupt_files(tmp_path):
    with_train(tmp_path, texts(20)).joinpath("train.jsonl").unlink()
    (tmp_path / "train.parquet").write_bytes(b"not parquet at all")
    assert "train.parquet is damaged or not a parquet file (Parquet magic bytes not found" in refusal(tmp_path)
    pq.write_table(pa.table({"text": ["a film", "no film"], "label": [0, 1]}), tmp_path / "train.parquet")
    whole = (tmp_path / "train.parquet").read_bytes()
    (tmp_path / "train.parquet").write_bytes(whole.replace(b"a film", b"a f\xfflm"))
    fault = "Column 0: In chunk 0: Invalid: Invalid UTF8"
    assert f"train.parquet is damaged or not a parquet file ({fault}" in refusal(tmp_path)
    (tmp_path / "train.parquet").unlink()
    (tmp_path / "train.csv").write_text("text,label\none,0\ntwo,1,3\n")
    assert "train.csv, line 3 has 3 cells, but the header has 2: correct it" in refusal(tmp_path)
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf")
    assert "train.csv has no rows" in refusal(tmp_path)
    (tmp_path / "train.csv").write_bytes(b"text,label\none,0\n\xff\xfe,0\n")
    assert "train.csv, line 3 is not UTF-8 (byte 0xff); save it as UTF-8" in refusal(tmp_path)


def test_a_stray_quote_swallows_no_rows(tmp_path):
    """Two of them would make one long text of what lies between, and lose its rows."""
    with_train(tmp_path, texts(20)).joinpath("train.jsonl").unlink()
    lines = [f"text {i},{i % 2}" for i in range(20)]
    lines[4], lines[8] = '"text 4,0', '"text 8,0'
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *lines]))
    assert "train.csv, the row from line 6 on cannot be read as csv (',' expected after '\"')" in refusal(tmp_path)
    lines[8] = "text 8,0"
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *lines]))
    assert "train.csv, the row from line 6 on cannot be read as csv (unexpected end of data)" in refusal(tmp_path)


def test_refuses_lines_that_are_not_json_objects(tmp_path):
    with_train(tmp_path, texts(2))
    lines = (tmp_path / "train.jsonl").read_text()
    (tmp_path / "train.jsonl").write_text(lines + '{"text": \n')
    assert "train.jsonl, line 3 is not JSON (Expecting value at character 11): each line must" in refusal(tmp_path)
    (tmp_path / "train.jsonl").write_text(lines + "[1]\n")
    assert "train.jsonl, line 3 is a JSON list: each line must be one JSON object" in refusal(tmp_path)
    (tmp_path / "train.jsonl").write_text(lines + '{"text": "a \\ud800 half", "label": 0}\n')
    assert 'train.jsonl, line 3, column "text" is not valid Unicode' in refusal(tmp_path)
    (tmp_path / "train.jsonl").write_text(lines + '{"text": "one", "text": "two", "label": 0}\n')
    assert 'train.jsonl, line 3 has the key "text" twice' in refusal(tmp_path)
    (tmp_path / "train.jsonl").write_text('{"text": "a", "label": 0}\n{"text": "b", "label": 18446744073709551616}\n')
    assert 'line 2, column "label" has a whole number of more than 64 bits' in refusal(tmp_path)


def test_refuses_a_column_of_two_types(tmp_path):
    rows = texts(20)
    rows[5]["text"] = 5
    assert 'line 6, column "text" is of type int, but earlier rows are of type str' in refusal(
        with_train(tmp_path, rows)
    )


def test_refuses_two_columns_of_one_name(tmp_path):
    with_train(tmp_path, texts(20)).joinpath("train.jsonl").unlink()
    (tmp_path / "train.csv").write_text("text,text,label\na,b,0\n")
    assert "train.csv has two columns of one name: text, text, label; rename one" in refusal(tmp_path)


def test_refuses_a_missing_column(tmp_path):
    with_train(tmp_path, texts(20))
    body = (Field("review", "body"),)
    assert refusal(tmp_path, fields=body) == (
        f'folder {tmp_path.name}/train.jsonl has no column "review" for review; found: text, label. '
        "Name the right one with corpus.columns.review."
    )
    assert 'has no column "gold" for label; found: text, label' in refusal(tmp_path, columns={"label": "gold"})
    assert 'has no column "uid" for id; found: text, label' in refusal(tmp_path, columns={"id": "uid"})


def test_refuses_to_guess_between_text_columns(tmp_path):
    with_train(tmp_path, texts(20, title="a title"))
    assert "train.jsonl has 2 text columns (text, title), so it is unclear which is the text" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_refuses_empty_texts(tmp_path, text):
    rows = texts(20)
    rows[7]["text"] = text
    assert refusal(with_train(tmp_path, rows)) == (
        f'folder {tmp_path.name}/train.jsonl, line 8, column "text" is empty; every field needs text: '
        "remove the row, fill it, or set corpus.skip_empty = true."
    )


def test_refuses_values_that_are_not_texts(tmp_path):
    rows = [{"text": i, "label": 0} for i in range(20)]
    assert 'column "text" is of type int64; a field must be text' in refusal(
        with_train(tmp_path, rows), fields=(Field("text", "body"),)
    )


@pytest.mark.parametrize("label", [2, -2, "maybe", "2"])
def test_refuses_labels_outside_the_classes(tmp_path, label):
    rows = texts(20)
    if isinstance(label, str):
        rows = [row | {"label": "yes"} for row in rows]
    rows[4]["label"] = label
    assert refusal(with_train(tmp_path, rows)) == (
        f'folder {tmp_path.name}/train.jsonl, line 5, column "label" is {label!r}; '
        "allowed are no, yes or their numbers from 0 to 1, or -1 for a row without a label."
    )


@pytest.mark.parametrize(("label", "kind"), [(0.0, "double"), (True, "bool")])
def test_refuses_labels_of_a_wrong_type(tmp_path, label, kind):
    rows = [row | {"label": label} for row in texts(20)]
    assert f'column "label" is of type {kind}; allowed are no, yes or their numbers from 0 to 1' in refusal(
        with_train(tmp_path, rows)
    )


@pytest.mark.parametrize("label", [None, -1])
def test_refuses_unlabeled_rows_in_reported_splits(tmp_path, label):
    rows = texts(4)
    rows[2]["label"] = label
    with_train(tmp_path, texts(20))
    write(tmp_path, "test", rows)
    assert 'test.jsonl, line 3, column "label" has no label; every row of test needs one' in refusal(tmp_path)


def test_refuses_train_without_labels(tmp_path):
    with_train(tmp_path, [row | {"label": -1} for row in texts(20)])
    assert "train has 0 labeled rows" in refusal(tmp_path)
    write(tmp_path, "validation", texts(4))
    assert "has no labeled row in train: at least one is needed" in refusal(tmp_path)


def test_refuses_duplicate_and_empty_ids(tmp_path):
    rows = [row | {"id": f"x{i}"} for i, row in enumerate(texts(20))]
    rows[9]["id"] = "x2"
    assert "line 10, column \"id\" is 'x2', as in line 3: every row needs its own id" in refusal(
        with_train(tmp_path, rows)
    )
    rows[9]["id"] = None
    assert 'line 10, column "id" is empty' in refusal(with_train(tmp_path, rows))


def test_refuses_selection_settings_that_the_folder_makes_useless(tmp_path):
    with_train(tmp_path, texts(20))
    write(tmp_path, "validation", texts(4))
    assert "corpus.validation_fraction = 0.3 has no effect" in refusal(tmp_path, validation_fraction=0.3)
    assert "corpus.split_seed = 3 has no effect" in refusal(tmp_path, split_seed=3)
    assert "corpus.group_by = text has no effect" in refusal(tmp_path, group_by="text")


def test_rows_of_one_text_are_kept_together_on_request(tmp_path):
    rows = [{"text": f"text {i // 2}", "label": "yes" if i % 2 else "no"} for i in range(40)]
    with_train(tmp_path, rows)
    splits = read_own(tmp_path, validation_fraction=0.25, group_by="text").splits
    train, select = (set(splits[split]["text"].to_pylist()) for split in ("train", "validation"))
    assert len(select) == 5
    assert not train & select


def test_urls_of_one_host_are_kept_together_on_request(tmp_path):
    hosts = ["http://www.a{}.com/x", "https://login.A{}.com:8080/y?z=/w", "a{}.com", "http://me@b.a{}.com/"]
    rows = [
        {"text": host.format(i), "label": "yes" if k % 2 else "no"} for i in range(10) for k, host in enumerate(hosts)
    ]
    with_train(tmp_path, rows)
    splits = read_own(tmp_path, validation_fraction=0.25, group_by="host:text").splits
    train, select = (
        {re.search(r"a\d", text.lower())[0] for text in splits[split]["text"].to_pylist()}
        for split in ("train", "validation")
    )
    assert (len(train), len(select)) == (8, 2)
    assert not train & select
    assert "corpus.group_by = urls is not a field" in refusal(tmp_path, group_by="host:urls")


def in_languages(folder):
    """Rows of en, de and fr in train, validation and test."""
    for split, count in (("train", 30), ("validation", 12), ("test", 12)):
        rows = [
            {"text": f"{split} {i}", "label": i // 3 % 2, "speech": ("en", "de", "fr")[i % 3]} for i in range(count)
        ]
        write(folder, split, rows)
    return folder


def test_the_language_of_rows_is_kept_and_chooses_what_is_trained_and_selected_on(tmp_path):
    in_languages(tmp_path)
    whole = read_own(tmp_path, language_field="speech")
    assert whole.splits["test"].column_names == ["id", "text", "language", "label"]
    english = read_own(tmp_path, language_field="speech", train_languages=("en",))
    counts = {split: sorted(set(table["language"].to_pylist())) for split, table in english.splits.items()}
    assert counts == {"train": ["en"], "validation": ["en"], "test": ["de", "en", "fr"]}
    assert english.splits["train"].num_rows == 10
    assert "trained and selected on rows of en only" in english.note
    fields = (Field("text", "body"),)
    without = read_own(tmp_path, fields=fields)
    assert len({each.fingerprint for each in (whole, english, without)}) == 3


def test_refuses_languages_that_are_not_there(tmp_path):
    in_languages(tmp_path)
    sentence = refusal(tmp_path, language_field="speech", train_languages=("en", "it"))
    assert sentence == "corpus.train_languages: train has no row of 'it', only of de, en, fr."
    assert 'no column "tongue" for the language of rows' in refusal(
        tmp_path, language_field="tongue", fields=(Field("text", "body"),)
    )
    for settings, reason in (
        ({"train_languages": ("en",)}, "have no language"),
        ({"language_field": "label"}, "is a column of something else already"),
        ({"language_field": "speech", "fields": (Field("language", "body"),)}, "cannot be named language"),
    ):
        with pytest.raises(ValidationError, match=reason):
            own(tmp_path, **settings)


def test_a_named_corpus_without_a_hub_is_looked_for_in_the_folder_alone(tmp_path):
    with pytest.raises(ConfigError, match=r"phishing_url was not found: KDRAY_DATA has no folder phishing_url, and"):
        read_corpus(CorpusSettings(name="phishing_url"), data_dir=tmp_path)
    row = {"text": "http://example.com/", "label": 0}
    for split in ("train", "validation", "test"):
        write(tmp_path / "umsab", split, [row | {"lang": "english"}], ".parquet")
    found = read_corpus(CorpusSettings(name="umsab"), data_dir=tmp_path)
    assert found.splits["test"]["language"].to_pylist() == ["english"]


def test_refuses_to_group_by_an_unknown_field(tmp_path):
    assert "corpus.group_by = texts is not a field; " in refusal(with_train(tmp_path, texts(20)), group_by="texts")


def test_the_pairs_of_the_sample_are_kept_together():
    splits = read_corpus(CorpusSettings(name="sample"), data_dir=None).splits
    train, select = (set(splits[split]["sentence2"].to_pylist()) for split in ("train", "validation"))
    assert (splits["train"].num_rows, splits["validation"].num_rows) == (2_160, 240)
    assert not train & select


def test_xnli_of_the_page_trains_on_english_and_is_scored_in_all_languages(tmp_path, monkeypatch):
    pair = {"premise": "a film", "hypothesis": "it", "label": 0}
    in_two = [pair | {"premise": premise, "lang": lang} for premise, lang in (("the film", "en"), ("le film", "fr"))]
    write(
        tmp_path / "data/mnli", "train", [pair | {"premise": f"film {i}", "label": i % 3} for i in range(9)], ".parquet"
    )
    for split in ("validation", "test"):
        write(tmp_path / "data/xnli", split, in_two, ".parquet")
    monkeypatch.setenv("KDRAY_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    page = pages.ROOT / "docs/corpora.md"
    exec(pages.code_with(page, "my-xnli"), {})
    (text,) = [code for language, code in pages.blocks(page) if language == "yaml" and "my-xnli" in code]
    settings = CorpusSettings.model_validate(yaml.safe_load(text)["corpus"])
    splits = read_corpus(settings, data_dir=None).splits
    languages = {split: set(table["language"].to_pylist()) for split, table in splits.items()}
    assert languages == {"train": {"en"}, "validation": {"en"}, "test": {"en", "fr"}}


# --- the real corpora

needs_data = pytest.mark.skipif("KDRAY_DATA" not in os.environ, reason="KDRAY_DATA is not set")
NER = ("conll2003", "wnut17", "resume_ner", "weibo_ner", "cluener", "msra_ner", "panx")
REAL = sorted({*(name for name, task in TASKS.items() if task.hub is not None), *NER})


@pytest.mark.real
@needs_data
@pytest.mark.parametrize("name", REAL)
def test_real_corpora_have_the_rows_of_their_manifest(name):
    data_dir = Path(os.environ["KDRAY_DATA"])
    facts = json.loads((data_dir / "manifest.json").read_text())[name]
    corpus = read_corpus(CorpusSettings(name=name), data_dir=data_dir)
    task = corpus.task
    train_rows = corpus.splits["train"].num_rows
    carved = corpus.splits["validation"].num_rows
    stated = sum(facts[split]["rows"] for split in ("train", *task.extra_train) if split in facts)
    if task.validation_split is None:
        assert train_rows + carved == stated
        assert carved == int(stated * task.validation_fraction + 0.5)
    else:
        assert (train_rows, carved) == (stated, facts[task.validation_split]["rows"])
    report = corpus.splits["test"]
    if "labels" in facts[task.test_split]:
        counts = report["label"].value_counts().to_pylist()
        assert {str(each["values"]): each["counts"] for each in counts} == facts[task.test_split]["labels"]
    elif "tags" in facts[task.test_split]:
        stated_tags = np.zeros(len(task.labels), np.int64)
        for tag, count in facts[task.test_split]["tags"].items():
            stated_tags[int(tag)] = count
        tags = np.bincount(pc.list_flatten(report["label"]).to_numpy(), minlength=len(task.labels))
        # of mended corpora stray I- have become B-
        changed = int(np.abs(tags - stated_tags).sum())
        assert changed == {"weibo_ner": 8, "panx": 90}.get(name, 0)
    else:
        assert task.labels == ("similarity",)
        assert pa.types.is_floating(report["label"].type)
    assert corpus.origin == f"KDRAY_DATA/{name}"


PANX_NOTE = "own split (80:10:10 by hash) of the official validation sets of 8 languages"
REAL_NOTES = {
    "conll2003": "126 of 3,453 test rows are word for word in train",
    "resume_ner": "tags I- that continue no entity are read as B-: 2 in train; "
    "5 of 477 test rows are word for word in train",
    "weibo_ner": "tags I- that continue no entity are read as B-: 10 in train, 4 in test; "
    "40 of 270 test rows are word for word in train",
    "msra_ner": "subset, 5,354 of 45,000 train rows; train: three samples of the official train set, joined; "
    "validation: rows of the official train set (MSRA has no official validation set)",
    "panx": "".join(f"{split}: {PANX_NOTE}; " for split in ("train", "validation", "test"))
    + "tags I- that continue no entity are read as B-: 353 in train, 78 in validation, 45 in test",
    "cola": "16 of 1,043 test rows are word for word in train",
    "emotion": "11 of 2,000 test rows are word for word in train",
    "imdb": "95 of 25,000 test rows are word for word in train",
    "stsb": "5 of 1,500 test rows are word for word in train",
    "qnli": "subset, 11,803 of 104,743 train rows",
    "qqp": "subset, 23,497 of 363,849 train rows; validation: held out from GLUE train rows; NOT the GLUE dev set",
    "mnli": "subset, 19,636 of 392,702 train rows; "
    "train_extra: more GLUE train rows, final punctuation stripped by their source",
    "ag_news": "subset, 29,617 of 120,000 train rows",
}


@pytest.mark.real
@needs_data
@pytest.mark.parametrize("name", REAL)
def test_real_subsets_say_so(name):
    corpus = read_corpus(CorpusSettings(name=name), data_dir=Path(os.environ["KDRAY_DATA"]))
    assert corpus.note == REAL_NOTES.get(name)
