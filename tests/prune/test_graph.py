from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import MatrixWeights
from sklearn.metrics import silhouette_samples

from kdray.errors import ConfigError
from kdray.pruning import clusters as clusters_module
from kdray.pruning import graph
from kdray.pruning.clusters import nn_medoids, profile, silhouette, silhouettes, star_clusters
from kdray.pruning.graph import cosine_weights, unit_vectors


def symmetric(n: int, upper: list[float]) -> np.ndarray:
    matrix = np.eye(n)
    matrix[np.triu_indices(n, 1)] = upper
    return np.triu(matrix) + np.triu(matrix, 1).T


FIVE = symmetric(5, [0.9, 0.2, 0.1, 0, 0.3, 0.2, 0.1, 0.8, 0.1, 0.1])
ONE = [np.array([[1.0, 0], [0, 1]]), np.array([[2.0, 0], [2, 0]])]


def slow_star(matrix: np.ndarray) -> tuple[list[set[int]], set[int]]:
    """The definition, word by word, on a rounded matrix."""
    w = np.round(matrix, 6)
    n = len(w)
    off = w[~np.eye(n, dtype=bool)]
    theta = off.mean() + off.std() - 1e-12
    strength = [round(sum(w[i][j] for j in range(n) if j != i), 6) for i in range(n)]
    free, clusters, medoids = set(range(n)), [], set()
    edges = sorted((-w[i][j], i, j) for i in range(n) for j in range(i + 1, n) if w[i][j] >= theta and w[i][j] > 0)
    for _, i, j in edges:
        if i in free and j in free:
            medoid = j if strength[j] > strength[i] else i
            star = {medoid} | {k for k in free if k != medoid and w[medoid][k] >= theta and w[medoid][k] > 0}
            clusters.append(star)
            medoids.add(medoid)
            free -= star
    return clusters + [{k} for k in sorted(free)], medoids


def as_sets(labels: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(labels == label).tolist()) for label in range(labels.max() + 1)]


def test_edges_of_two_teachers() -> None:
    assert cosine_weights(ONE, "mean_embedding").rows(0, 2)[0, 1] == 894427
    assert cosine_weights(ONE, "mean_cosine").rows(0, 2)[0, 1] == 500000
    assert cosine_weights(ONE).rows(0, 2)[0, 1] == 894427


def test_a_unit_without_embedding_has_no_edges() -> None:
    weights = cosine_weights([np.array([[0.0, 0], [1, 0], [1, 1]])])
    assert weights.rows(0, 1).tolist() == [[0, 0, 0]]
    assert weights.rows(1, 3).tolist() == [[0, 0, 707107], [0, 707107, 0]]


def test_different_widths_take_the_mean_of_cosines() -> None:
    wide = [ONE[0], np.array([[2.0, 0, 0], [2, 0, 0]])]
    assert cosine_weights(wide).rows(0, 2)[0, 1] == 500000
    with pytest.raises(ConfigError, match=r"one width, found \[2, 3\]"):
        cosine_weights(wide, "mean_embedding")


def test_half_precision_embeddings_do_not_overflow() -> None:
    big = np.full((2, 3), 60_000, dtype=np.float16)
    assert cosine_weights([big, big]).rows(0, 2)[0, 1] == 1_000_000


def test_refuses_embeddings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="found none"):
        cosine_weights([])
    with pytest.raises(ConfigError, match=r"\[2, 3\] rows"):
        cosine_weights([ONE[0], np.ones((3, 2))])
    with pytest.raises(ConfigError, match="Embedding 1 of teacher 0 is not finite"):
        cosine_weights([np.array([[1.0], [np.nan]])])


def test_five_nodes_worked_by_hand() -> None:
    weights = MatrixWeights(FIVE)
    measured = profile(weights)
    assert measured.theta / 1e6 == pytest.approx(0.575973, abs=1e-6)
    assert (measured.strengths / 1e6).tolist() == [1.2, 1.5, 1.4, 1.2, 0.3]
    clusters = star_clusters(weights)
    assert as_sets(clusters.labels) == [{0, 1}, {2, 3}, {4}]
    assert np.flatnonzero(clusters.medoids).tolist() == [1, 2]
    assert np.flatnonzero(nn_medoids(weights)).tolist() == [0, 1, 2, 3]
    assert silhouettes(weights, clusters.labels) == pytest.approx([0.882353, 0.866667, 0.733333, 0.764706, 0], abs=1e-6)
    assert silhouette(weights, clusters.labels) == pytest.approx(0.649412, abs=1e-6)


def test_no_silhouette_with_one_cluster() -> None:
    assert silhouette(MatrixWeights(FIVE), np.zeros(5, dtype=np.int32)) is None


def test_one_node_is_alone() -> None:
    clusters = star_clusters(MatrixWeights(np.eye(1)))
    assert (clusters.labels.tolist(), clusters.medoids.tolist()) == ([0], [False])


def test_units_without_embeddings_form_no_cluster() -> None:
    weights = cosine_weights([np.zeros((3, 2))])
    assert not star_clusters(weights).medoids.any()
    assert not nn_medoids(weights).any()


def test_equal_weights_give_one_star_around_the_first_node() -> None:
    clusters = star_clusters(cosine_weights([np.ones((6, 3))]))
    assert clusters.labels.tolist() == [0] * 6
    assert np.flatnonzero(clusters.medoids).tolist() == [0]


@settings(max_examples=50)
@given(st.integers(2, 12), st.data())
def test_stars_follow_the_definition_for_any_block_size(n: int, data: st.DataObject) -> None:
    tenths = st.integers(-10, 10).map(lambda value: value / 10)
    upper = data.draw(st.lists(tenths, min_size=n * (n - 1) // 2, max_size=n * (n - 1) // 2))
    matrix = symmetric(n, upper)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_BLOCK_ROWS", data.draw(st.integers(1, n)))
        patch.setattr(clusters_module, "_EDGE_CHUNK", data.draw(st.integers(1, 5)))
        clusters = star_clusters(MatrixWeights(matrix))
        sets, medoids = slow_star(matrix)
        assert as_sets(clusters.labels) == sets
        assert set(np.flatnonzero(clusters.medoids).tolist()) == medoids
        if 2 <= len(sets) < n:
            theirs = silhouette_samples(1 - matrix, clusters.labels, metric="precomputed")
            assert silhouettes(MatrixWeights(matrix), clusters.labels) == pytest.approx(theirs, abs=1e-9)


def test_teachers_vectors_give_the_cosines_of_numpy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(700, 8)), rng.normal(size=(700, 5))
    dense = sum((e @ e.T) / np.outer(np.linalg.norm(e, axis=1), np.linalg.norm(e, axis=1)) / 2 for e in (first, second))
    weights = cosine_weights([first, second])
    np.fill_diagonal(dense, 0)
    assert np.abs(np.concatenate([weights.rows(0, 300), weights.rows(300, 700)]) / 1e6 - dense).max() <= 5.1e-7
    sets, _ = slow_star(dense[:60, :60])
    assert as_sets(star_clusters(cosine_weights([first[:60], second[:60]])).labels) == sets


@pytest.mark.parametrize("edge", ["mean_embedding", "mean_cosine"])
def test_vectors_do_not_depend_on_how_many_are_made_at_once(edge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    embeddings = [draw.standard_normal((50, 6)).astype(np.float32) for _ in range(2)]
    whole = unit_vectors(embeddings, edge)
    monkeypatch.setattr(graph, "_AT_ONCE", 7)
    assert np.array_equal(unit_vectors(embeddings, edge), whole)
    assert np.array_equal(unit_vectors(embeddings, edge, np.float32), whole.astype(np.float32))
