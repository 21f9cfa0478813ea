import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd import counted_apart, originals

from kdray.errors import ConfigError
from kdray.pruning import (
    HASH_COLUMN,
    Fit,
    Pruned,
    Pruner,
    PruneSettings,
    fit,
    fit_scores,
    prune_fitted,
    prune_table,
    summary,
    units_at,
)
from kdray.pruning.decisions import restore_minimum
from kdray.pruning.importance import Scale, count_terms, freeze, score
from kdray.pruning.units import text_column

FIELDS = [("text", "context"), ("question", "query")]
WORDS = ["cat", "dog", "fish", "ate", "sat", "met", "the", "a", "mat", "bark", "😀", "naïve", "x", "...", "?"]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
ENDS = st.sampled_from([". ", "! ", "?\r\n", ".\n", " ", ".", ""])
TEXTS = st.lists(st.tuples(SENTENCES, ENDS).map("".join), max_size=5).map("".join)
ROWS = st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 2)), min_size=1, max_size=8)
SPLITTABLE = ("One cat sat on the big mat. Yes. A dog met the fish, the cat and the mat.", "Who sat?", 0)
SENTENCE_POLICIES: list[Any] = [
    "lower_tail",
    "literal",
    "literal_centers",
    "bottom_quintile",
    {"name": "match_rate", "rate": 0.4},
]


def make(rows: list[tuple[str, str, int]]) -> pa.Table:
    texts, questions, labels = (list(column) for column in zip(*rows, strict=True))
    ids = [f"r{i}" for i in range(len(rows))]
    return pa.table({"id": ids, "text": texts, "question": questions, "label": labels})


def embeddings_of(units: pa.Table, needed: bool) -> list[np.ndarray]:
    return [np.random.default_rng(1).normal(size=(units.num_rows, 4))] if needed else []


def fitted(table: pa.Table, chosen: PruneSettings, level: Any = "sentence") -> Fit:
    units = units_at(table, FIELDS, chosen, level=level)
    return fit(units, embeddings_of(units, chosen.medoid_rule != "none"), chosen, level=level)


def prune_both_ways(table: pa.Table, chosen: PruneSettings) -> list[Pruned]:
    made = fitted(table, chosen)
    return [
        prune_fitted(table, FIELDS, made.pruner, made.decisions, is_train=True),
        prune_table(table, FIELDS, made.pruner, is_train=False),
    ]


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from(SENTENCE_POLICIES), st.integers(1, 2))
def test_sentence_pruning_keeps_its_promises(rows: list[Any], policy: Any, min_keep: int) -> None:
    table = make([*rows, SPLITTABLE])
    for pruned in prune_both_ways(table, PruneSettings(policy=policy, level="sentence", min_keep=min_keep)):
        for column in ("id", "question", "label"):
            assert pruned.table.column(column).equals(table.column(column))
        decisions = pruned.decisions.to_pylist()
        for row, after in zip(table.to_pylist(), pruned.table.column("text").to_pylist(), strict=True):
            units = [d for d in decisions if d["id"] == row["id"]]
            kept = [d for d in units if d["kept"]]
            assert "".join(row["text"][d["start"] : d["end"]] for d in kept) == after
            assert [d["unit"] for d in units] == list(range(len(units)))
            assert len(kept) >= min(min_keep, len(units))
            assert after.strip() or not row["text"].strip()
        assert originals(pruned.decisions).column("text").equals(table.column("text"))


@settings(max_examples=30, deadline=None)
@given(ROWS, st.sampled_from(SENTENCE_POLICIES), st.integers(0, 9))
def test_shards_give_what_the_whole_gives(rows: list[Any], policy: Any, cut: int) -> None:
    table = make([*rows, SPLITTABLE])
    made = fitted(table, PruneSettings(policy=policy, level="sentence"))
    shards = [table[:cut], table[cut:]]
    whole = prune_table(table, FIELDS, made.pruner, is_train=True)
    parts = [prune_table(shard, FIELDS, made.pruner, is_train=True) for shard in shards]
    assert pa.concat_tables(p.table for p in parts).equals(whole.table)
    assert pa.concat_tables(p.decisions for p in parts).equals(whole.decisions)
    whole = prune_fitted(table, FIELDS, made.pruner, made.decisions, is_train=True)
    parts = [prune_fitted(shard, FIELDS, made.pruner, made.decisions, is_train=True) for shard in reversed(shards)]
    assert pa.concat_tables(p.table for p in reversed(parts)).equals(whole.table)


def test_fitting_from_merged_counts_and_scores_of_shards_is_the_same() -> None:
    table = make([SPLITTABLE, ("A dog. A cat ate the fish.", "?", 1), ("Bark! Bark, dog.", "?", 1)])
    chosen = PruneSettings(keep_medoids="none")
    shards = [units_at(shard, FIELDS, chosen, level="sentence") for shard in (table[:1], table[1:])]
    texts = [text_column(shard) for shard in shards]
    statistics = freeze(counted_apart(texts[1], texts[0]))
    scores = np.concatenate([score(t, statistics) for t in texts])
    units = units_at(table, FIELDS, chosen, level="sentence")
    merged = fit_scores(units, scores, [], chosen, level="sentence", statistics=statistics)
    whole = fitted(table, chosen)
    assert merged.pruner == whole.pruner
    assert merged.decisions.equals(whole.decisions)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.floats(0, 1), st.floats(0, 1), st.integers(1, 3))
def test_a_higher_threshold_never_brings_a_unit_back(rows: list[Any], one: float, two: float, min_keep: int) -> None:
    table = make([*rows, SPLITTABLE])
    chosen = PruneSettings(keep_medoids="none", level="sentence", min_keep=min_keep)
    units = units_at(table, FIELDS, chosen, level="sentence")
    statistics = freeze(count_terms(text_column(units)))
    kept = []
    for threshold in sorted((one, two)):
        pruner = Pruner(chosen, "sentence", statistics, Scale.of(score(text_column(units), statistics)), threshold)
        kept.append(np.array(pruner.decide(units).column("kept").to_pylist()))
    assert not (kept[1] & ~kept[0]).any()


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from(SENTENCE_POLICIES), st.integers(1, 3))
def test_example_pruning_keeps_some_of_each_class(rows: list[Any], policy: Any, min_per_class: int) -> None:
    table = make([*rows, SPLITTABLE])
    made = fitted(table, PruneSettings(policy=policy, level="row", min_per_class=min_per_class), "row")
    pruned = prune_fitted(table, FIELDS, made.pruner, made.decisions, is_train=True).table
    before, after = table.column("label").to_pylist(), pruned.column("label").to_pylist()
    assert all(after.count(label) >= min(min_per_class, before.count(label)) for label in before)
    kept = set(pruned.column("id").to_pylist())
    same = table.filter(pa.array([name in kept for name in table.column("id").to_pylist()]))
    assert pruned.drop_columns([HASH_COLUMN]).equals(same)
    halves = [prune_fitted(t, FIELDS, made.pruner, made.decisions, is_train=True) for t in (table[:1], table[1:])]
    assert pa.concat_tables(half.table for half in halves).equals(pruned)


def test_policy_none_returns_the_very_table() -> None:
    table = make([SPLITTABLE, ("", "", 1)])
    for level in ("sentence", "row"):
        made = fitted(table, PruneSettings(policy="none"), level)
        assert prune_fitted(table, FIELDS, made.pruner, made.decisions, is_train=False).table is table
        assert made.decisions.column("kept").to_pylist() == [True] * made.decisions.num_rows
    assert prune_table(table, FIELDS, fitted(table, PruneSettings(policy="none")).pruner, is_train=False).table is table
    pairs = [("text", "pair"), ("question", "pair")]
    units = units_at(table, pairs, PruneSettings(policy="none"), level="sentence")
    assert fit(units, [], PruneSettings(policy="none"), level="sentence").decisions.num_rows == 0


def test_importances_and_reasons_worked_by_hand() -> None:
    cats = [
        "the cat sat on the mat. ",
        "the cat ate the fish. ",
        "dogs bark. ",
        "a cat and a dog met the fish on the mat.",
    ]
    table = make([("".join(cats), "?", 0), ("dogs bark.", "?", 1)])
    units = units_at(table, FIELDS, PruneSettings(), level="sentence")
    # Two stars: sentences 0 and 1 (medoid 0, stronger), 2 and the second row; sentence 3 is alone.
    vectors = np.array([[1, 0, 0, 0.1], [1, 0.05, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.1], [0, 1, 0.0, 0]])
    made = fit(units, [vectors], PruneSettings(), level="sentence")
    decisions = made.decisions
    statistics = freeze(count_terms(text_column(units)))
    raw = score(text_column(units), statistics)
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    assert decisions.column("importance").to_pylist() == pytest.approx(expected.tolist(), abs=1e-12)
    assert made.pruner.threshold == pytest.approx(expected.mean() - expected.std() / 2, abs=1e-12)
    assert decisions.column("cluster").to_pylist() == [1, 1, 0, 2, 0]
    assert decisions.column("is_medoid").to_pylist() == [False, True, True, False, False]
    assert decisions.column("reason").to_pylist() == ["kept", "kept", "protected medoid", "kept", "only unit"]
    assert decisions.column("kept").to_pylist() == [True] * 5
    bare = fit(units, [], PruneSettings(keep_medoids="none"), level="sentence")
    assert bare.decisions.column("reason").to_pylist() == ["kept", "kept", "below threshold", "kept", "only unit"]
    assert bare.decisions.column("cluster").to_pylist() == [-1] * 5
    pruned = prune_fitted(table, FIELDS, bare.pruner, bare.decisions, is_train=True).table
    assert pruned.column("text").to_pylist() == [cats[0] + cats[1] + cats[3], "dogs bark."]


def test_the_most_important_then_the_earliest_is_restored() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2])
    importance = np.array([0.1, 0.2, 0.2, 0.5, 0.1, 0.0])
    kept = np.array([False, False, False, True, False, False])
    assert np.flatnonzero(restore_minimum(groups, importance, kept, 1)).tolist() == [1, 5]
    assert np.flatnonzero(restore_minimum(groups, importance, kept, 2)).tolist() == [1, 2, 4, 5]


def test_the_maximum_rate_lowers_the_threshold_with_a_warning() -> None:
    texts = [" ".join(f"w{i}{j}" for j in range(2)) + ". " for i in range(9)] + [
        " ".join(f"v{j}" for j in range(30)) + "."
    ]
    table = make([("".join(texts), "?", 0)])
    made = fitted(table, PruneSettings(policy="literal", max_prune_rate=0.5))
    assert len(made.warnings) == 1
    assert "max_prune_rate = 0.5" in made.warnings[0]
    assert sum(made.decisions.column("kept").to_pylist()) >= 5
    assert fitted(table, PruneSettings(policy="literal")).warnings == ()


def test_a_saved_pruner_prunes_the_same(tmp_path: Path) -> None:
    table = make([SPLITTABLE, ("A dog met naïve cats. Bark.", "?", 1)])
    made = fitted(table, PruneSettings(keep_medoids="none", level="sentence"))
    made.pruner.save(tmp_path / "pruner")
    loaded = Pruner.load(tmp_path / "pruner")
    assert loaded == made.pruner
    expected = prune_table(table, FIELDS, made.pruner, is_train=False).table.column("text").to_pylist()
    assert loaded.prune(table.column("text").to_pylist()) == expected != table.column("text").to_pylist()
    assert loaded.prune([]) == []
    assert loaded.prune([""]) == [""]


def test_refuses_files_that_are_not_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pruner\.json does not exist"):
        Pruner.load(tmp_path)
    for nothing in (None, 5):
        with pytest.raises(ConfigError, match=f"not {nothing}"):
            Pruner.load(nothing)  # type: ignore[arg-type]
    made = fitted(make([SPLITTABLE]), PruneSettings(policy="bottom_quintile", level="sentence"))
    made.pruner.save(tmp_path)
    path = tmp_path / "pruner.json"
    with pytest.raises(ConfigError, match="give the folder"):
        Pruner.load(path)
    content = json.loads(path.read_text())
    for text, message in [
        ("{", "damaged"),
        ("[]", "no record"),
        (json.dumps(content | {"splitter": 99}), "splitter 99"),
        (json.dumps({k: v for k, v in content.items() if k != "lo"}), "damaged"),
        (json.dumps(content | {"settings": {"policy": "strongest"}}), "damaged"),
        (json.dumps(content | {"threshold": content["threshold"] + 0.1}), "its checksum does not match its contents"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            Pruner.load(tmp_path)


def test_refuses_to_prune_twice() -> None:
    table = make([SPLITTABLE])
    made = fitted(table, PruneSettings(policy="bottom_quintile", level="sentence"))
    pruned = prune_fitted(table, FIELDS, made.pruner, made.decisions, is_train=True).table
    with pytest.raises(ConfigError, match="pruned before"):
        prune_table(pruned, FIELDS, made.pruner, is_train=False)
    with pytest.raises(ConfigError, match="pruned before"):
        units_at(pruned, FIELDS, made.pruner.settings, level="sentence")
    with pytest.raises(ConfigError, match="differs from the decided one"):
        prune_fitted(pruned.drop_columns([HASH_COLUMN]), FIELDS, made.pruner, made.decisions, is_train=True)
    other = table.set_column(0, "id", pa.array(["other"]))
    with pytest.raises(ConfigError, match="no decision for this row"):
        prune_fitted(other, FIELDS, made.pruner, made.decisions, is_train=True)


def test_whole_examples_are_dropped_from_train_only() -> None:
    table = make([SPLITTABLE, ("Bark.", "", 0), ("A cat sat.", "", 1)])
    made = fitted(table, PruneSettings(policy="literal", level="row"), "row")
    with pytest.raises(ConfigError, match="training examples only"):
        prune_fitted(table, FIELDS, made.pruner, made.decisions, is_train=False)
    with pytest.raises(ConfigError, match="training examples only"):
        prune_table(table, FIELDS, made.pruner, is_train=False)
    with pytest.raises(ConfigError, match="entire training split"):
        prune_table(table, FIELDS, made.pruner, is_train=True)
    with pytest.raises(ConfigError, match="leave texts as they are"):
        made.pruner.prune(["A cat."])
    measured = made.pruner.decide(units_at(table, FIELDS, made.pruner.settings, level="row"))
    assert measured.column("reason").to_pylist() == ["kept", "below threshold", "best of its class"]


def test_refuses_what_could_have_no_effect() -> None:
    single = make([("A cat.", "?", 0), ("A dog.", "?", 1)])
    with pytest.raises(ConfigError, match="can remove nothing"):
        fitted(single, PruneSettings(policy="literal", level="sentence"))
    with pytest.raises(ConfigError, match="no prunable field"):
        units_at(single, [("text", "pair"), ("question", "pair")], PruneSettings(), level="sentence")
    with pytest.raises(ConfigError, match="need embeddings of the units"):
        fit(
            units_at(make([SPLITTABLE]), FIELDS, PruneSettings(), level="sentence"),
            [],
            PruneSettings(),
            level="sentence",
        )
    units = units_at(make([SPLITTABLE]), FIELDS, PruneSettings(), level="sentence")
    with pytest.raises(ConfigError, match=r"shape \(2, 4\) for 3 units"):
        fit(units, [np.ones((2, 4))], PruneSettings(), level="sentence")
    with pytest.raises(ConfigError, match="has no units"):
        fit(units[:0], [], PruneSettings(), level="sentence")
    with pytest.raises(ConfigError, match=r"are not of prune\.level"):
        fit(units, [], PruneSettings(keep_medoids="none"), level="row")
    split = fitted(make([SPLITTABLE]), PruneSettings(policy="literal", fit_on="split", level="sentence")).pruner
    with pytest.raises(ConfigError, match=r"prune\.fit_on = train"):
        split.prune(["A cat."])


def test_summary_counts_worked_by_hand() -> None:
    table = make([("One cat sat on the mat. Yes. A dog.", "?", 0), ("Fish met cats.", "?", 1)])
    chosen = PruneSettings(policy={"name": "match_rate", "rate": 0.5}, level="sentence")
    made = fitted(table, chosen)
    found = summary(made.decisions, table)
    assert (found["num_units"], found["num_kept"]) == (4, 2)
    assert found["prune_rate"] == 0.5
    assert (found["num_rows"], found["num_changed"]) == (2, 1)
    assert (found["num_words"], found["num_words_kept"]) == (12, 9)
    assert found["word_rate"] == pytest.approx(0.25)
    assert found["speedup_bound"] == pytest.approx(4 / 3)
    assert found["reasons"] == {"below threshold": 2, "kept": 2}
    assert found["classes"]["0"] == {"num_rows": 1, "num_rows_kept": 1, "num_units": 3, "num_units_kept": 1}
    assert found["classes"]["1"] == {"num_rows": 1, "num_rows_kept": 1, "num_units": 1, "num_units_kept": 1}
    assert found["examples"] == [
        {
            "id": "r0",
            "field": "text",
            "before": "One cat sat on the mat. Yes. A dog.",
            "after": "One cat sat on the mat. ",
            "dropped": ["Yes. ", "A dog."],
        }
    ]
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(ConfigError, match="which the table lacks"):
        summary(made.decisions, table[:1])
