"""The counts behind a pruning's figures: every unit is in one bin, one class of lengths, one cluster."""

import numpy as np
import pyarrow as pa
import pytest

from kdray.pruning import PruneSettings, fit, picture, units_of

TEXTS = [" ".join(["Word"] * (i % 9 + 1)) + f" number{i}. Another one {i % 5} here. Short." for i in range(40)]


def fitted(**settings):
    table = pa.table({"id": [f"r{i}" for i in range(len(TEXTS))], "text": TEXTS})
    units = units_of(table, ["text"])
    chosen = PruneSettings.model_validate({"policy": "lower_tail", "level": "sentence"} | settings)
    vectors = np.random.default_rng(0).normal(size=(units.num_rows, 8))
    return fit(units, [] if chosen.medoid_rule == "none" else [vectors], chosen, level="sentence")


@pytest.mark.parametrize("keep_medoids", ["star", "nn", "none"])
def test_every_unit_is_counted_once(keep_medoids):
    found = fitted(keep_medoids=keep_medoids)
    shown = picture(found.decisions, found.pruner.threshold)
    kept = sum(found.decisions["kept"].to_pylist())
    spread = shown["importance"]
    assert len(spread["edges"]) == len(spread["kept"]) + 1 == len(spread["dropped"]) + 1
    assert sum(spread["kept"]) == sum(band["kept"] for band in shown["lengths"]) == kept
    assert sum(spread["dropped"]) == found.decisions.num_rows - kept > 0
    assert sum(band["units"] for band in shown["lengths"]) == found.decisions.num_rows
    if keep_medoids == "star":
        labels = found.decisions["cluster"].to_pylist()
        assert sum(band["clusters"] for band in shown["clusters"]) == len(set(labels))
    else:
        assert shown["clusters"] is None


def test_bands_of_lengths_and_sizes():
    found = fitted()
    lengths = picture(found.decisions, 0.5)["lengths"]
    counts = [len(text.split()) for text in found.decisions["text"].to_pylist()]
    assert [(band["first"], band["last"]) for band in lengths][:2] == [(1, 4), (5, 9)]
    assert lengths[-1]["last"] is None
    for band in lengths:
        inside = [n for n in counts if n >= band["first"] and n <= (band["last"] or n)]
        assert band["units"] == len(inside)


def test_nearest_units_have_the_smallest_distances():
    found = fitted(keep_medoids="none")
    threshold = found.pruner.threshold
    shown = picture(found.decisions, threshold, num_nearest=6)["nearest"]
    distances = sorted(abs(value - threshold) for value in found.decisions["importance"].to_pylist())
    assert sorted(abs(unit["importance"] - threshold) for unit in shown) == distances[:6]
    assert [unit["importance"] for unit in shown] == sorted(unit["importance"] for unit in shown)


def test_no_units_give_empty_counts():
    none = fitted().decisions.slice(0, 0)
    assert sum(picture(none, 0.5)["importance"]["kept"]) == 0
