"""Graphs that are cut into parts: every unit in one part, the same in whatever order, exact where it can be."""

import numpy as np
import pyarrow as pa
import pytest

from kdray.errors import ConfigError
from kdray.pruning import fitting, parts
from kdray.pruning.clusters import nn_medoids, profile, star_clusters
from kdray.pruning.fitting import fit
from kdray.pruning.graph import cosine_weights, unit_vectors
from kdray.pruning.parts import clusters_by_part, parts_of, sampled_theta
from kdray.pruning.settings import PruneSettings
from kdray.pruning.units import row_units


def heaps(number: int, each: int, *, width: int = 16, spread: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around `number` random directions, in a random order, and the heap of each."""
    draw = np.random.default_rng(0)
    own = draw.permutation(np.repeat(np.arange(number), each))
    middles = draw.standard_normal((number, width))
    vectors = unit_vectors([middles[own] + spread * draw.standard_normal((len(own), width))])
    return vectors.astype(np.float32), own


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 1000])
def test_every_unit_is_in_one_part_and_no_part_is_too_large_or_much_smaller(count):
    vectors, _ = heaps(4, 250)
    found = parts_of(vectors[:count], 8)
    assert sorted(np.concatenate(found).tolist()) == list(range(count))
    assert all((np.diff(part) > 0).all() for part in found)
    assert max(map(len, found)) <= 8
    assert count <= 8 or min(map(len, found)) >= 4
    assert all(np.array_equal(one, two) for one, two in zip(found, parts_of(vectors[:count], 8), strict=True))


def test_identical_units_and_zero_vectors_are_split_too():
    for vectors in (np.ones((100, 4), np.float32) / 2, np.zeros((100, 4), np.float32)):
        assert sorted(np.concatenate(parts_of(vectors, 10)).tolist()) == list(range(100))


def test_parts_are_the_same_where_sums_differ_in_their_last_bits():
    """Machines add in different orders: units that are equal stay in the order of the corpus all the same."""
    vectors, _ = heaps(4, 64, spread=0.0)
    draw = np.random.default_rng(1)
    here, there = (vectors * (1 + 1e-7 * draw.standard_normal((len(vectors), 1))).astype(np.float32) for _ in range(2))
    assert not np.array_equal(here, there)
    for one, two in zip(parts_of(here, 24), parts_of(there, 24), strict=True):
        assert np.array_equal(one, two)


def test_similar_units_stay_together():
    vectors, own = heaps(4, 64)
    mixed = [len(np.unique(own[part])) for part in parts_of(vectors, 128)]
    assert max(mixed) <= 2


def test_the_sampled_theta_is_near_the_one_of_all_pairs():
    vectors, _ = heaps(10, 60)
    exact = profile(cosine_weights([vectors])).theta
    assert sampled_theta(vectors) == pytest.approx(exact, rel=0.01)


def test_in_one_part_it_is_the_whole_graph(monkeypatch):
    vectors, _ = heaps(5, 30)
    weights = cosine_weights([vectors])
    monkeypatch.setattr(parts, "sampled_theta", lambda vectors: profile(weights).theta)
    whole, found = star_clusters(weights), clusters_by_part(vectors, "star")
    assert np.array_equal(found.labels, whole.labels)
    assert np.array_equal(found.medoids, whole.medoids)
    assert np.array_equal(clusters_by_part(vectors, "nn").medoids, nn_medoids(weights))


@pytest.mark.parametrize("how", ["star", "nn"])
def test_parts_may_be_worked_on_anywhere(monkeypatch, how):
    monkeypatch.setattr(parts.parts_of, "__defaults__", (40,))
    vectors, own = heaps(8, 40)
    one, sizes = clusters_by_part(vectors, how), []

    def elsewhere(function, pieces):
        sizes.extend(map(len, pieces))
        return reversed([function(piece) for piece in reversed(pieces)])

    other = clusters_by_part(vectors, how, run=elsewhere)
    assert len(sizes) == 8
    assert max(sizes) <= 40
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.medoids, other.medoids)
    assert one.medoids.any()
    if how == "star":
        assert (one.labels >= 0).all()
        for cluster in np.unique(one.labels):  # no cluster joins what lies in two parts, nor two heaps
            assert len(np.unique(own[one.labels == cluster])) == 1


def test_fitting_takes_parts_beyond_what_one_graph_holds(monkeypatch):
    monkeypatch.setattr(fitting, "MAX_UNITS", 30)
    monkeypatch.setattr(parts.parts_of, "__defaults__", (20,))
    vectors, _ = heaps(4, 15)
    texts = [" ".join(["word"] * (1 + i % 5) + [f"only{i}"] * (i % 3)) for i in range(len(vectors))]
    table = pa.table({"id": [str(i) for i in range(60)], "text": texts, "label": [i % 2 for i in range(60)]})
    units = row_units(table, ["text"])
    fitted = fit(units, [vectors], PruneSettings(level="row"), level="row")
    assert fitted.silhouette is None
    assert fitted.decisions["is_medoid"].to_numpy().any()
    assert (fitted.decisions["cluster"].to_numpy() >= 0).all()
    with pytest.raises(ConfigError, match="keep_medoids = kmeans takes at most 30 units, found 60; use star or nn"):
        fit(units, [vectors], PruneSettings(level="row", keep_medoids="kmeans"), level="row")
