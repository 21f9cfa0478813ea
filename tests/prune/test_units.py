import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdray.errors import ConfigError
from kdray.pruning.sentences import sentence_spans
from kdray.pruning.units import (
    HASH_COLUMN,
    WHOLE_ROW,
    LevelCounts,
    level_counts,
    prunable_fields,
    row_units,
    units_of,
)

PIECES = [
    "A cat.",
    "Why?",
    "No!",
    "mr.",
    "e.g.",
    "U.S.",
    "...",
    ". . .",
    '"Yes."',
    "x.",
    "😀",
    "\r\n",
    "\n",
    "\t",
    "one two",
]
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from([*PIECES, " ", "  "]), max_size=12).map("".join))


def pieces(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. X left. He ran!", ["Mr. X left. ", "He ran!"]),
        ("it works. so they say.", ["it works. ", "so they say."]),
        ('He said "go." Then left.', ['He said "go." ', "Then left."]),
        ("In the U.S. it rains. (Often.) Yes?!  No", ["In the U.S. it rains. ", "(Often.) ", "Yes?!  ", "No"]),
        ("He lives in Jan. or (no. 5).\r\nShe does not.", ["He lives in Jan. or (no. 5).\r\n", "She does not."]),
        ("Stop! ...", ["Stop! ..."]),
        ("! ! Go. Now.", ["! ! Go. ", "Now."]),
        ("3.5 million. Really.", ["3.5 million. ", "Really."]),
        ("猫は好き。犬も好き！「本当？」はい．", ["猫は好き。", "犬も好き！", "「本当？」", "はい．"]),
        ("約３．５％です。 次。", ["約３．５％です。 ", "次。"]),
        ("यह फिल्म अच्छी है। वह नहीं।", ["यह फिल्म अच्छी है। ", "वह नहीं।"]),
        ("هل أعجبك؟ نعم.", ["هل أعجبك؟ ", "نعم."]),
        ("ไม่มีจุด ประโยค", ["ไม่มีจุด ประโยค"]),
    ],
)
def test_splits_after_sentences(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


@pytest.mark.parametrize(
    "text", ["wait . . . no", "well ... maybe", "well.. maybe", "e.g. this one.", "...", "", " ", "word", "😀!"]
)
def test_keeps_whole(text: str) -> None:
    assert pieces(text) == [text]


ABBREVIATIONS = """
    mr mrs ms dr prof st sr jr gen gov sen rep jan feb mar apr jun jul aug sep sept oct nov dec
    inc co corp ltd vs etc no fig al ca approx a e.g i.e u.s
"""


@pytest.mark.parametrize("word", ABBREVIATIONS.split())
def test_an_abbreviation_ends_no_sentence(word: str) -> None:
    assert pieces(f"the {word}. left. so did {word.upper()}. two.") == [
        f"the {word}. left. ",
        f"so did {word.upper()}. two.",
    ]


@given(TEXTS)
def test_spans_cover_the_text_without_a_gap(text: str) -> None:
    spans = sentence_spans(text)
    assert "".join(pieces(text)) == text
    assert all(start < end for start, end in spans) or spans == [(0, 0)]
    assert all(any(c.isalnum() or c == "_" for c in piece) for piece in pieces(text)) or len(spans) == 1


def test_long_runs_of_stops_take_linear_time() -> None:
    assert len(sentence_spans("." * 200_000 + "a" + '."' * 50_000 + "b")) == 1


def table(**columns: list[object]) -> pa.Table:
    return pa.table(columns)


def test_units_carry_offsets_in_characters() -> None:
    units = units_of(table(id=[7, 8], text=["😀 a. Bee!", ""], other=["One. Two.", "x"]), ["text", "other"])
    assert units.column_names == ["row", "id", "field", "unit", "start", "end", "text"]
    assert [str(t) for t in units.schema.types] == ["int64", "string", "string", "int32", "int32", "int32", "string"]
    assert units.select(["row", "field", "unit", "start", "end", "text"]).to_pylist()[1:4] == [
        {"row": 0, "field": "other", "unit": 0, "start": 0, "end": 5, "text": "One. "},
        {"row": 0, "field": "other", "unit": 1, "start": 5, "end": 9, "text": "Two."},
        {"row": 1, "field": "text", "unit": 0, "start": 0, "end": 0, "text": ""},
    ]
    assert units.column("id").to_pylist() == ["7", "7", "7", "8", "8"]


def test_example_units_join_all_fields() -> None:
    units = row_units(table(id=["a"], x=["One. Two."], y=["Three"], label=[4]), ["x", "y"])
    assert units.to_pylist() == [
        {
            "row": 0,
            "id": "a",
            "field": WHOLE_ROW,
            "unit": 0,
            "start": 0,
            "end": 15,
            "text": "One. Two. Three",
            "label": 4,
        }
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a", "a"], "text": ["x", "y"]}, "Row 1: 'id' is 'a', which an earlier row has"),
        ({"id": ["a", None], "text": ["x", "y"]}, "Row 1: 'id' is missing"),
        ({"id": ["a", "b"], "text": ["x", None]}, "Row 1: 'text' is None"),
        ({"id": ["a", "b"], "text": [1, 2]}, "Row 0: 'text' is 1"),
        ({"id": ["a", "b"]}, "Missing column 'text'; the table has id"),
        ({"id": ["a"], "text": ["x"], HASH_COLUMN: ["0"]}, "pruned before"),
    ],
)
def test_refuses_bad_tables(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        units_of(pa.table(columns), ["text"])


def test_refuses_examples_without_a_label() -> None:
    with pytest.raises(ConfigError, match="Row 1 has no 'label'"):
        row_units(table(id=["a", "b"], text=["x", "y"], label=[1, None]), ["text"])


def test_roles_decide_what_is_prunable() -> None:
    assert prunable_fields([("premise", "context"), ("hypothesis", "query")], prune_pairs=False) == ["premise"]
    assert prunable_fields([("text", "body")], prune_pairs=False) == ["text"]
    assert prunable_fields([("a", "pair"), ("b", "pair")], prune_pairs=False) == []
    assert prunable_fields([("a", "pair"), ("b", "pair")], prune_pairs=True) == ["a", "b"]
    with pytest.raises(ConfigError, match="no effect"):
        prunable_fields([("text", "body")], prune_pairs=True)


def test_level_counts() -> None:
    rows = table(id=["a", "b", "c"], text=["One. Two.", "One.", ""], more=["One.", "One.", "Five. Six. Seven."])
    assert level_counts(units_of(rows, ["text"]), 3) == LevelCounts(3, 1)
    assert level_counts(units_of(rows, ["text"]), 3, min_keep=2) == LevelCounts(3, 0)
    assert level_counts(units_of(rows, ["text", "more"]), 3) == LevelCounts(3, 2)
    assert level_counts(units_of(rows, ["text", "more"]), 3, min_keep=2) == LevelCounts(3, 1)
    assert level_counts(units_of(rows, []), 3) == LevelCounts(3, 0)


@pytest.mark.real
@pytest.mark.skipif("KDRAY_DATA" not in os.environ, reason="KDRAY_DATA names no folder of real corpora")
@pytest.mark.parametrize(
    ("task", "field", "expected"),
    [("sst2", "sentence", (872, 1, 873)), ("rte", "sentence1", (277, 89, 506)), ("qnli", "sentence", (5463, 7, 5470))],
)
def test_counts_of_the_real_dev_splits(task: str, field: str, expected: tuple[int, int, int]) -> None:
    rows = pq.read_table(Path(os.environ["KDRAY_DATA"]) / task / "validation.parquet")
    units = units_of(rows, [field], id_column="idx")
    counts = level_counts(units, len(rows))
    assert (counts.num_examples, counts.num_divisible, units.num_rows) == expected
