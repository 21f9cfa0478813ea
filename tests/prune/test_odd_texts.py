"""The promises of pruning (methods.md 3.7) for any text: empty, one word, emoji, NUL, mixed line ends, 100 kB."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd import (
    LARGE,
    ONE,
    PAIR,
    ROWS,
    SPLITTABLE,
    TABLES,
    TEXTS,
    TWO,
    Layout,
    Row,
    chosen,
    counted_apart,
    embeddings_of,
    fitted,
    make,
    originals,
    raw_strings,
    reference_importance,
    reference_spans,
    reference_threshold,
)

from kdray.errors import ConfigError
from kdray.pruning import (
    HASH_COLUMN,
    Fit,
    Pruner,
    PruneSettings,
    changed_texts,
    count_terms,
    fit,
    fit_scores,
    freeze,
    prune_fitted,
    prune_table,
    score,
    summary,
    units_at,
    units_of,
)
from kdray.pruning.sentences import sentence_spans
from kdray.pruning.units import prunable_fields

POLICIES: list[Any] = [
    "literal",
    "literal_centers",
    "lower_tail",
    "bottom_quintile",
    {"name": "match_rate", "rate": 0.328},
    "none",
]
REMOVING = POLICIES[:-1]
LAYOUTS = st.sampled_from([ONE, TWO, PAIR])
SEEDS = st.integers(0, 3)
ALL_WORDS: Row = ("one cat sat on the big mat yes dog met fish and", "?", 0)  # says more than any unit that is fitted
WHY_KEPT = {"kept", "protected medoid", "only unit", "best of its field", "best of its class"}

any_policy = pytest.mark.parametrize("policy", POLICIES, ids=str)
any_removing = pytest.mark.parametrize("policy", REMOVING, ids=str)
both_levels = pytest.mark.parametrize("level", ["sentence", "row"])


def examples(number: int) -> Any:
    return settings(max_examples=number, derandomize=True, deadline=None, database=None)


def names_of(layout: Layout) -> list[str]:
    return [name for name, _ in layout]


def split_fields(layout: Layout, policy: Any) -> list[str]:
    return prunable_fields(layout, prune_pairs=layout is PAIR and policy != "none")


def kept_units(decisions: pa.Table) -> dict[tuple[str, str, int], bool]:
    names = ("id", "field", "unit", "kept")
    return {(d[0], d[1], d[2]): d[3] for d in zip(*(decisions[name].to_pylist() for name in names), strict=True)}


def has_word(text: str) -> bool:
    return any(c.isalnum() or c == "_" for c in text)


def check_texts(before: pa.Table, after: pa.Table, decisions: pa.Table, fields: list[str], least: int) -> None:
    """What holds for sentences on any split, whoever decided."""
    assert after.num_rows == before.num_rows
    for column in before.column_names:
        if column not in fields:
            assert after[column].equals(before[column])
    assert decisions.num_rows == sum(len(sentence_spans(text)) for f in fields for text in before[f].to_pylist())
    found = {(d["id"], d["field"], d["unit"]): d for d in decisions.to_pylist()}
    for field in fields:
        for name, old, new in zip(*(t.to_pylist() for t in (before["id"], before[field], after[field])), strict=True):
            units = [found[name, field, number] for number in range(len(sentence_spans(old)))]
            assert [(d["start"], d["end"]) for d in units] == sentence_spans(old)
            assert all(d["text"] == old[d["start"] : d["end"]] for d in units)
            assert "".join(d["text"] for d in units if d["kept"]) == new
            assert sum(d["kept"] for d in units) >= min(least, len(units))
            saved = [number for number, d in enumerate(units) if d["reason"] == "best of its field"]
            if least == 1 and saved:
                assert saved == [max(range(len(units)), key=lambda number: units[number]["importance"])]
                assert sum(d["kept"] for d in units) == 1
            assert new or not old
            assert has_word(new) == has_word(old)
    recovered = {(r["id"], r["field"]): r["text"] for r in originals(decisions).to_pylist()}
    assert recovered == {(n, f): t for f in fields for n, t in zip(*columns(before, "id", f), strict=True)}


def columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def check_reasons(decisions: pa.Table) -> None:
    for kept, reason, is_medoid, importance in zip(
        *columns(decisions, "kept", "reason", "is_medoid", "importance"), strict=True
    ):
        assert reason in WHY_KEPT if kept else reason == "below threshold"
        assert is_medoid or reason != "protected medoid"
        assert 0 <= importance <= 1


def check_against_the_paper(made: Fit, chosen_settings: PruneSettings) -> None:
    """Importance and what falls below, from the formulas; equals and near equals of a threshold may go either way."""
    decisions, policy = made.decisions, chosen_settings.policy
    texts, reasons, medoids, kept = columns(decisions, "text", "reason", "is_medoid", "kept")
    expected = reference_importance(texts)
    assert decisions["importance"].to_pylist() == pytest.approx(expected.tolist(), abs=1e-9)
    below = np.array([reason != "kept" for reason in reasons], bool)
    if policy.name == "match_rate":
        assert below.sum() == math.floor(0.328 * len(below))
        assert not below.any() or expected[below].max() <= expected[~below].min() + 1e-9
    elif not made.warnings:
        threshold = reference_threshold(policy.name, expected)
        clear = np.abs(expected - threshold) > 1e-9
        assert np.array_equal(below[clear], (expected < threshold)[clear])
    assert below.sum() <= chosen_settings.prune_rate_limit * len(below)
    if chosen_settings.medoid_rule != "none":
        assert all(k for k, is_medoid in zip(kept, medoids, strict=True) if is_medoid)
    else:
        assert not any(medoids)


# ---- level sentence


@any_policy
@examples(15)
@given(TABLES, ROWS, LAYOUTS, st.integers(1, 2), SEEDS)
def test_sentences_keep_every_promise(
    policy: Any, table: pa.Table, others: list[Row], layout: Layout, least: int, seed: int
) -> None:
    wanted = chosen(policy, "sentence", layout, min_keep=least)
    if all(len(sentence_spans(t)) <= least for f in split_fields(layout, policy) for t in table[f].to_pylist()):
        return
    made = fitted(table, wanted, "sentence", layout, seed)
    least = wanted.min_keep
    done = prune_fitted(table, layout, made.pruner, made.decisions, is_train=True)
    assert done.decisions.equals(made.decisions)
    check_reasons(made.decisions)
    if made.decisions.num_rows:
        check_against_the_paper(made, wanted)
    for before, is_train in ((table, True), (table, False), (make([*others, ALL_WORDS]), False)):
        frozen = prune_table(before, layout, made.pruner, is_train=is_train)
        if policy != "none":
            check_reasons(frozen.decisions)
            check_texts(before, frozen.table, frozen.decisions, split_fields(layout, policy), least)
            assert frozen.table.drop_columns([HASH_COLUMN]).schema == before.schema
    check_texts(table, done.table, done.decisions, split_fields(layout, policy), least)


@any_removing
@examples(10)
@given(ROWS, LAYOUTS, st.integers(1, 2), SEEDS)
def test_fitting_without_prunable_texts_is_refused(
    policy: Any, rows: list[Row], layout: Layout, least: int, seed: int
) -> None:
    table, fields = make(rows), split_fields(layout, policy)
    longest = max(len(sentence_spans(text)) for field in fields for text in table[field].to_pylist())
    wanted = chosen(policy, "sentence", layout, min_keep=least)
    if longest <= least:
        with pytest.raises(ConfigError, match=f"no text has more than prune.min_keep = {least} sentences"):
            fitted(table, wanted, "sentence", layout, seed)
        return
    made = fitted(table, wanted, "sentence", layout, seed)
    done = prune_fitted(table, layout, made.pruner, made.decisions, is_train=False)
    check_texts(table, done.table, done.decisions, fields, least)


@examples(30)
@given(TABLES, LAYOUTS)
def test_none_returns_every_byte(table: pa.Table, layout: Layout) -> None:
    for level in ("sentence", "row"):
        made = fitted(table, chosen("none", level), level, layout)
        for is_train in (True, False):
            assert prune_fitted(table, layout, made.pruner, made.decisions, is_train=is_train).table is table
        if level == "sentence":
            assert prune_table(table, layout, made.pruner, is_train=False).table is table
        assert all(made.decisions["kept"].to_pylist())


@pytest.mark.parametrize("is_train", [True, False])
def test_none_fitted_at_level_example_returns_every_byte(is_train: bool) -> None:
    table = make([("cat", "", 0)])
    pruner = fitted(table, chosen("none", "row"), "row").pruner
    assert prune_table(table, ONE, pruner, is_train=is_train).table is table


# ---- level row


@any_policy
@examples(15)
@given(TABLES, st.sampled_from([ONE, TWO]), st.integers(1, 3), SEEDS)
def test_whole_examples_keep_every_promise(policy: Any, table: pa.Table, layout: Layout, least: int, seed: int) -> None:
    wanted = chosen(policy, "row", min_per_class=least)
    made = fitted(table, wanted, "row", layout, seed)
    done = prune_fitted(table, layout, made.pruner, made.decisions, is_train=True)
    assert made.decisions["id"].to_pylist() == table["id"].to_pylist()
    check_reasons(made.decisions)
    check_against_the_paper(made, wanted)
    kept = table.filter(pa.array(made.decisions["kept"].to_pylist(), pa.bool_()))
    assert done.table.select(table.column_names).equals(kept)
    joined = [" ".join(texts) for texts in zip(*columns(table, *names_of(layout)), strict=True)]
    assert originals(made.decisions)["text"].to_pylist() == joined
    before, after = table["label"].to_pylist(), done.table["label"].to_pylist()
    for label in set(before):
        assert after.count(label) >= min(wanted.min_per_class, before.count(label))
        found = summary(made.decisions, table)["classes"][str(label)]
        assert (found["num_rows"], found["num_rows_kept"]) == (before.count(label), after.count(label))
    if policy != "none":
        with pytest.raises(ConfigError, match="training examples only"):
            prune_fitted(table, layout, made.pruner, made.decisions, is_train=False)
        with pytest.raises(ConfigError, match="training examples only"):
            prune_table(table, layout, made.pruner, is_train=False)


# ---- both levels


@any_removing
@both_levels
@examples(6)
@given(TABLES, st.sampled_from([ONE, TWO]), st.randoms(use_true_random=False), SEEDS)
def test_again_in_shards_and_in_any_order_the_decisions_are_the_same(
    policy: Any, level: Any, table: pa.Table, layout: Layout, random: Any, seed: int
) -> None:
    wanted = chosen(policy, level)
    made, again = (fitted(table, wanted, level, layout, seed) for _ in range(2))
    assert made.pruner == again.pruner
    assert made.decisions.equals(again.decisions)
    whole = prune_fitted(table, layout, made.pruner, made.decisions, is_train=True).table
    cuts = sorted(random.choices(range(table.num_rows + 1), k=2))
    shards = [table[: cuts[0]], table[cuts[0] : cuts[1]], table[cuts[1] :]]
    parts = [prune_fitted(t, layout, made.pruner, made.decisions, is_train=True).table for t in reversed(shards)]
    assert pa.concat_tables(reversed(parts)).equals(whole)
    frozen = kept_units(made.pruner.decide(units_at(table, layout, wanted, level=level)))
    if level == "sentence":
        mixed = table.take(random.sample(range(table.num_rows), table.num_rows))
        alone = prune_table(mixed, layout, made.pruner, is_train=False)
        assert kept_units(alone.decisions) == frozen
        pieces = [prune_table(shard, layout, made.pruner, is_train=False) for shard in shards]
        together = pa.concat_tables(piece.decisions for piece in pieces)
        assert kept_units(together) == frozen
        by_id = {row["id"]: row for row in alone.table.to_pylist()}
        assert [by_id[row["id"]] for piece in pieces for row in piece.table.to_pylist()] == [
            by_id[name] for name in table["id"].to_pylist()
        ]
        assert pa.concat_tables(piece.table for piece in pieces).to_pylist() == [
            by_id[name] for name in table["id"].to_pylist()
        ]


@any_removing
@both_levels
@examples(6)
@given(TABLES, st.randoms(use_true_random=False), SEEDS)
def test_fitting_from_shards_in_any_order_is_fitting_the_whole(
    policy: Any, level: Any, table: pa.Table, random: Any, seed: int
) -> None:
    wanted = chosen(policy, level)
    cut = random.randrange(table.num_rows + 1)
    shards = [units_at(t, ONE, wanted, level=level)["text"].to_pylist() for t in (table[:cut], table[cut:])]
    statistics = freeze(counted_apart(shards[1], shards[0]))
    scores = np.concatenate([score(texts, statistics) for texts in shards])
    units = units_at(table, ONE, wanted, level=level)
    vectors = embeddings_of(units["text"].to_pylist(), seed) if wanted.needs_embeddings else []
    merged = fit_scores(units, scores, vectors, wanted, level=level, statistics=statistics)
    whole = fitted(table, wanted, level, seed=seed)
    assert merged.pruner == whole.pruner
    assert merged.decisions.equals(whole.decisions)


@pytest.mark.parametrize("policy", ["literal", "lower_tail", "bottom_quintile"])
@examples(15)
@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_that_are_fitted_does_not_matter(policy: Any, table: pa.Table, random: Any) -> None:
    wanted = chosen(policy, "sentence", keep_medoids="none")
    mixed = table.take(random.sample(range(table.num_rows), table.num_rows))
    assert kept_units(fitted(table, wanted, "sentence").decisions) == kept_units(
        fitted(mixed, wanted, "sentence").decisions
    )


@both_levels
@pytest.mark.parametrize("keep_medoids", ["none", "star", "nn"])
@pytest.mark.parametrize("name", ["lower_tail", "literal"])
@examples(6)
@given(TABLES, st.tuples(st.floats(0, 2), st.floats(0, 2)), st.integers(1, 2), SEEDS)
def test_a_higher_threshold_never_brings_a_unit_back(
    level: Any, keep_medoids: str, name: str, table: pa.Table, deviations: tuple[float, float], least: int, seed: int
) -> None:
    more: dict[str, Any] = {"keep_medoids": keep_medoids, "max_prune_rate": 1}
    more["min_keep" if level == "sentence" else "min_per_class"] = least
    low, high = sorted(
        (fitted(table, chosen({"name": name, "deviations": d}, level, **more), level, seed=seed) for d in deviations),
        key=lambda made: made.pruner.threshold,
    )
    lower = kept_units(low.decisions)
    assert all(lower[unit] for unit, kept in kept_units(high.decisions).items() if kept)


@both_levels
def test_a_higher_rate_never_brings_a_unit_back(level: Any) -> None:
    texts = {
        "sentence": [("Yes. Yes.", 0), ("The cat ate.", 0)],
        "row": [("Yes.", 0), ("Yes.", 0), ("A cat ate.", 1)],
    }
    table = make([(text, "", label) for text, label in texts[level]])
    fewer, many = (
        kept_units(fitted(table, chosen({"name": "match_rate", "rate": rate}, level), level).decisions)
        for rate in (0.4, 0.7)
    )
    assert list(fewer.values()) == [True, False, True]  # of equals the later falls first
    assert all(fewer[unit] for unit, kept in many.items() if kept)


@any_removing
@both_levels
@examples(6)
@given(TABLES, SEEDS)
def test_what_was_pruned_is_never_scored_again(policy: Any, level: Any, table: pa.Table, seed: int) -> None:
    wanted = chosen(policy, level)
    made = fitted(table, wanted, level, TWO, seed)
    done = prune_fitted(table, TWO, made.pruner, made.decisions, is_train=True).table
    with pytest.raises(ConfigError, match="pruned before"):
        units_at(done, TWO, wanted, level=level)
    with pytest.raises(ConfigError, match="pruned before"):
        prune_fitted(done, TWO, made.pruner, made.decisions, is_train=True)
    bare = done.drop_columns([HASH_COLUMN])
    if bare["text"].to_pylist() != table["text"].to_pylist() and level == "sentence":
        with pytest.raises(ConfigError, match="differs from the decided one"):
            prune_fitted(bare, TWO, made.pruner, made.decisions, is_train=True)


@any_policy
@both_levels
@examples(6)
@given(TABLES, SEEDS)
def test_the_summary_adds_up(policy: Any, level: Any, table: pa.Table, seed: int) -> None:
    made = fitted(table, chosen(policy, level), level, TWO, seed)
    done = prune_fitted(table, TWO, made.pruner, made.decisions, is_train=True).table
    found = summary(made.decisions, table, num_examples=100)
    kept, texts, reasons = columns(made.decisions, "kept", "text", "reason")
    assert (found["num_units"], found["num_kept"]) == (len(kept), sum(kept))
    assert found["reasons"] == {reason: reasons.count(reason) for reason in reasons}
    assert found["num_words"] == sum(len(text.split()) for text in texts)
    assert found["num_words_kept"] == sum(len(t.split()) for t, k in zip(texts, kept, strict=True) if k)
    assert sum(c["num_units_kept"] for c in found["classes"].values()) == sum(kept)
    assert found["num_changed"] == len(found["examples"]) == len(changed_texts(made.decisions, 100))
    assert json.loads(json.dumps(found)) == found
    if level == "sentence":
        before, after = ({r["id"]: r["text"] for r in t.to_pylist()} for t in (table, done))
        changed = {e["id"]: (e["before"], e["after"]) for e in found["examples"]}
        assert changed == {name: (before[name], after[name]) for name in before if before[name] != after[name]}


@any_removing
@examples(6)
@given(TABLES, st.lists(TEXTS, max_size=5), SEEDS)
def test_a_saved_pruner_shortens_bare_texts_as_it_does_tables(
    tmp_path_factory: pytest.TempPathFactory, policy: Any, table: pa.Table, texts: list[str], seed: int
) -> None:
    made = fitted(table, chosen(policy, "sentence"), "sentence", seed=seed)
    folder: Path = tmp_path_factory.mktemp("pruner")
    made.pruner.save(folder)
    loaded = Pruner.load(folder)
    assert loaded == made.pruner
    expected = prune_table(table, ONE, made.pruner, is_train=False).table["text"].to_pylist()
    assert loaded.prune(table["text"].to_pylist()) == expected
    assert loaded.prune(texts) == [loaded.prune([text])[0] for text in texts]


# ---- large rows, and every character there is


@pytest.mark.parametrize(
    ("name", "policy"),
    [(name, "lower_tail") for name in LARGE]
    + [("paragraphs", policy) for policy in REMOVING if policy != "lower_tail"],
    ids=str,
)
def test_rows_of_100_kb_lose_nothing_unseen(name: str, policy: Any) -> None:
    table = make([(LARGE[name], "Who? " * 20_000, 0), SPLITTABLE])
    keep_medoids = {"keep_medoids": "none"} if name == "short sentences" else {}
    made = fitted(table, chosen(policy, "sentence", TWO, **keep_medoids), "sentence", TWO)
    for done in (
        prune_fitted(table, TWO, made.pruner, made.decisions, is_train=True),
        prune_table(table, TWO, made.pruner, is_train=False),
    ):
        check_texts(table, done.table, done.decisions, ["text"], 1)
    whole = fitted(table, chosen(policy, "row"), "row")
    assert 1 <= prune_fitted(table, ONE, whole.pruner, whole.decisions, is_train=True).table.num_rows <= 2


SURROGATES = st.text(st.sampled_from("\ud800\udfff\udc80aB. \x00!?\n\r😀"), max_size=12)


@examples(200)
@example("\ud800")
@example("A \ud800. \udfff b! C")
@given(st.one_of(TEXTS, SURROGATES))
def test_the_splitter_is_the_reference_for_any_string(text: str) -> None:
    assert sentence_spans(text) == reference_spans(text)
    assert "".join(text[start:end] for start, end in sentence_spans(text)) == text


@examples(100)
@given(st.lists(st.one_of(TEXTS, SURROGATES), max_size=5))
def test_scores_are_finite_for_any_string(texts: list[str]) -> None:
    statistics = freeze(count_terms(texts))
    for how in ("sum", "mean"):
        found = score(texts, statistics, how)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        assert found.tolist() == [score([text], statistics, how)[0] for text in texts]


# ---- what is no text: one clear sentence, or a result that has lost nothing

FROZEN = fitted(make([SPLITTABLE]), chosen({"name": "match_rate", "rate": 0.4}, "sentence"), "sentence").pruner


@pytest.mark.parametrize("text", ["\ud800", "One \ud800 cat. Yes. A dog \udfff met the cat."], ids=ascii)
def test_a_frozen_pruner_defines_what_lone_surrogates_become(text: str) -> None:
    try:
        found = FROZEN.prune([text])[0]
    except ConfigError as error:
        found = str(error)
    assert found in ("\ud800", "One \ud800 cat. A dog \udfff met the cat.") or "Row 0" in found


@both_levels
@pytest.mark.parametrize("column", ["id", "text", "question"])
def test_invalid_utf8_is_refused_with_row_and_column(level: Any, column: str) -> None:
    table = make([SPLITTABLE, ("A cat.", "Who?", 1)])
    place = table.column_names.index(column)
    table = table.set_column(place, column, raw_strings([b"A cat. A dog.", b"A \xed\xa0\x80 cat. A dog."]))
    layout: Layout = [("text", "body"), ("question", "body")]
    with pytest.raises(ConfigError, match=f"Row 1.*'{column}'"):
        units_at(table, layout, chosen("literal", level), level=level)


def test_invalid_utf8_is_not_counted() -> None:
    table = pa.table({"id": ["a"], "text": raw_strings([b"\xff. A dog."])})
    with pytest.raises(ConfigError, match=r"Row 0.*'text'"):
        units_of(table, ["text"])


def test_a_query_with_invalid_utf8_is_left_unchanged() -> None:
    table = make([SPLITTABLE]).set_column(2, "question", raw_strings([b"\xff\xed\xa0\x80"]))
    done = prune_table(table, TWO, FROZEN, is_train=False).table
    assert done["question"].equals(table["question"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        2.5,
        True,
        ["A cat."],
        b"\xff",
    ],
    ids=str,
)
def test_a_saved_pruner_refuses_non_texts(value: Any) -> None:
    with pytest.raises(ConfigError, match="Row 1"):
        FROZEN.prune(["A cat.", value])


@pytest.mark.parametrize("texts", ["A cat.", b"A cat.", None, 5, {"a": 1}], ids=str)
def test_a_saved_pruner_refuses_non_lists(texts: Any) -> None:
    with pytest.raises(ConfigError, match="prune takes a list of texts"):
        FROZEN.prune(texts)


def test_a_frozen_pruner_takes_texts_one_by_one() -> None:
    texts = ["It rained. Acme Corp. bought Titan Ltd. People talked.", "A cat."]
    assert FROZEN.prune(iter(texts)) == FROZEN.prune(texts)


@both_levels
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("id", ["a", "a"], "Row 1: 'id' is 'a', which an earlier row has"),
        ("id", ["a", None], "Row 1: 'id' is missing"),
        ("text", ["One. Two.", None], "Row 1: 'text' is None"),
        ("text", [None, None], "Row 0: 'text' is None"),
        ("text", [1, 2], "Row 0: 'text' is 1"),
        ("text", [0.5, 2.0], "Row 0: 'text' is 0.5"),
        ("text", [float("nan"), 2.0], "Row 0: 'text' is nan"),
        ("text", [True, False], "Row 0: 'text' is True"),
        ("text", [b"One. Two.", b"x"], "Row 0: 'text' is b'One"),
        ("text", [["One."], ["x"]], r"Row 0: 'text' is \['One.'\]"),
    ],
    ids=str,
)
def test_refuses_ids_and_texts_that_are_none(level: Any, name: str, values: list[Any], message: str) -> None:
    table = pa.table({"id": ["a", "b"], "text": ["One. Two.", "x"], "label": [0, 1]} | {name: values})
    with pytest.raises(ConfigError, match=message):
        fitted(table, chosen("literal", level), level)
    if level == "sentence":
        with pytest.raises(ConfigError, match=message):
            prune_table(table, ONE, FROZEN, is_train=False)


@any_removing
@both_levels
def test_without_rows_there_is_nothing_to_fit(policy: Any, level: Any) -> None:
    with pytest.raises(ConfigError, match="no units to prune"):
        fitted(make([SPLITTABLE])[:0], chosen(policy, level), level)


@both_levels
def test_policy_none_accepts_zero_rows(level: Any) -> None:
    assert fitted(make([SPLITTABLE])[:0], chosen("none", level), level).decisions.num_rows == 0


def test_without_rows_a_frozen_pruner_gives_no_rows() -> None:
    done = prune_table(make([SPLITTABLE])[:0], TWO, FROZEN, is_train=False)
    assert (done.table.num_rows, done.decisions.num_rows, originals(done.decisions).num_rows) == (0, 0, 0)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()], ids=str)
def test_other_kinds_of_text_columns_stay_what_they_are(kind: pa.DataType) -> None:
    table = make([SPLITTABLE, ("\x00", "", 1)])
    place = table.column_names.index("text")
    other = table.set_column(place, "text", table["text"].cast(kind))
    done = prune_table(other, TWO, FROZEN, is_train=False).table
    assert done["text"].type == kind
    assert done["text"].to_pylist() == prune_table(table, TWO, FROZEN, is_train=False).table["text"].to_pylist()


# ---- few, equal or one-sided rows


@any_policy
@both_levels
def test_one_class_alone_keeps_some_rows(policy: Any, level: Any) -> None:
    table = make([("A cat ate the fish. Yes.", "?", 7), ("Yes.", "?", 7), ("😀", "?", 7)])
    made = fitted(table, chosen(policy, level), level)
    done = prune_fitted(table, ONE, made.pruner, made.decisions, is_train=True).table
    classes = summary(made.decisions, table)["classes"]
    assert list(classes) == ["7"]
    assert 1 <= classes["7"]["num_rows_kept"] == done.num_rows <= 3
    if level == "sentence":
        assert done["label"].to_pylist() == [7, 7, 7]


@any_policy
@both_levels
@pytest.mark.parametrize("text", ["", "cat", "A cat. A cat.", "😀 😀. \x00!", "x. y. "], ids=ascii)
def test_identical_rows_are_equally_important(policy: Any, level: Any, text: str) -> None:
    table = make([(text, text, label % 2) for label in range(8)])
    if level == "sentence" and policy != "none" and len(sentence_spans(text)) == 1:
        with pytest.raises(ConfigError, match="can remove nothing"):
            fitted(table, chosen(policy, level), level)
        return
    made = fitted(table, chosen(policy, level), level)
    importance, kept = columns(made.decisions, "importance", "kept")
    assert importance == [1.0] * len(kept)
    assert made.warnings == ()
    if policy not in REMOVING[:-1] and policy != "none":
        assert 0 < kept.count(False) <= math.floor(0.328 * len(kept))
    else:
        assert all(kept)


@pytest.mark.parametrize(("rate", "dropped"), [(0.01, []), (0.32, []), (1 / 3, [2]), (0.5, [2]), (0.99, [1, 2])])
def test_a_rate_of_few_units_is_rounded_down(rate: float, dropped: list[int]) -> None:
    table = make([("The cat ate a fish. Yes. A dog.", "?", 0)])  # importance 1, 0 and 0
    made = fitted(table, chosen({"name": "match_rate", "rate": rate}, "sentence"), "sentence")
    assert [i for i, kept in enumerate(made.decisions["kept"].to_pylist()) if not kept] == dropped


def test_a_rate_of_one_unit_drops_nothing() -> None:
    made = fitted(make([("", "", 0)]), chosen({"name": "match_rate", "rate": 0.99}, "row"), "row")
    assert made.decisions["kept"].to_pylist() == [True]


@both_levels
@pytest.mark.parametrize("keep_medoids", ["kmeans", "gmm", "spectral", "agglomerative"])
def test_more_clusters_than_units_are_one_for_each(level: Any, keep_medoids: str) -> None:
    table = make([("The cat ate. Yes. A dog.", "?", 0), ("cat", "?", 0), ("dog", "?", 1)])
    wanted = chosen("lower_tail", level, keep_medoids=keep_medoids, num_clusters=50)
    made = fitted(table, wanted, level)
    clusters = made.decisions["cluster"].to_pylist()
    assert max(clusters) < len(clusters)
    assert min(clusters) == 0
    done = prune_fitted(table, ONE, made.pruner, made.decisions, is_train=True)
    if level == "sentence":
        check_texts(table, done.table, done.decisions, ["text"], 1)


@both_levels
@pytest.mark.parametrize("keep_medoids", ["star", "nn", "kmeans", "gmm", "spectral", "agglomerative", "mean_shift"])
def test_graphs_of_one_row_or_of_empty_rows_are_fitted(level: Any, keep_medoids: str) -> None:
    wanted = chosen("lower_tail", level, keep_medoids=keep_medoids)
    for table, width in ((make([SPLITTABLE]), 3), (make([SPLITTABLE, ("", "", 1), ("\x00", "", 1)]), 3)):
        units = units_at(table, ONE, wanted, level=level)
        made = fit(units, [np.zeros((units.num_rows, width))], wanted, level=level)
        done = prune_fitted(table, ONE, made.pruner, made.decisions, is_train=True)
        assert set(done.table["label"].to_pylist()) == set(table["label"].to_pylist())


def test_units_of_two_bodies_are_independent() -> None:
    table = make([SPLITTABLE, ("\r\nOne.\rTwo.\r\n\r\nThree. ", "A b.\x00 C.", 1)])
    units = units_of(table, ["text", "question"])
    for row, texts in enumerate(zip(*columns(table, "text", "question"), strict=True)):
        for field, text in zip(("text", "question"), texts, strict=True):
            assert "".join(u["text"] for u in units.to_pylist() if (u["row"], u["field"]) == (row, field)) == text
