"""Other clusterings of the same units: what they find where it is plain to see, and what they leave to the rest."""

from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import silhouette_score

from kdray.pruning.clusters import silhouette, star_clusters
from kdray.pruning.graph import cosine_weights
from kdray.pruning.settings import PruneSettings
from kdray.pruning.sklearn_clustering import COUNTED, Comparator, sklearn_clusters

NAMES = get_args(Comparator)


def heaps(sizes: tuple[int, ...], *, width: int = 8, spread: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around orthogonal axes, in a random order, and the heap of each."""
    draw = np.random.default_rng(0)
    own = draw.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.eye(width)[own] + spread * draw.standard_normal((len(own), width)), own


@pytest.mark.parametrize("how", NAMES)
def test_heaps_that_lie_apart_are_found(how):
    vectors, own = heaps((12, 9, 7))
    weights = cosine_weights([vectors])
    found = sklearn_clusters(how, weights, None if how == "mean_shift" else 3)
    assert found.labels.dtype == np.int32
    pairs = {(int(a), int(b)) for a, b in zip(found.labels, own, strict=True)}
    assert len(pairs) == 3
    assert found.labels[0] == 0
    for cluster in range(3):
        members = np.flatnonzero(found.labels == cluster)
        near = weights.vectors[members] @ weights.vectors[members].mean(axis=0)
        assert np.flatnonzero(found.medoids & (found.labels == cluster)).tolist() == [members[near.argmax()]]
    again = sklearn_clusters(how, cosine_weights([vectors]), None if how == "mean_shift" else 3)
    assert np.array_equal(again.labels, found.labels)
    assert np.array_equal(again.medoids, found.medoids)


@pytest.mark.parametrize("how", NAMES)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_units_and_units_without_a_word_are_clustered_too(how, count):
    vectors = np.eye(4)[:count] if count < 3 else np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    found = sklearn_clusters(how, cosine_weights([vectors.reshape(count, 4)]), None)
    assert len(found.labels) == len(found.medoids) == count
    assert (found.labels >= 0).all()


@pytest.mark.parametrize("how", NAMES)
def test_identical_units_give_one_medoid_per_cluster(how):
    found = sklearn_clusters(how, cosine_weights([np.tile([0.6, 0.8], (10, 1))]), 2 if how in COUNTED else None)
    sizes = np.bincount(found.labels)
    assert found.medoids.sum() == (sizes > 1).sum()


def test_the_silhouette_is_that_of_scikit_learn():
    vectors, _ = heaps((12, 9, 7), spread=0.6)
    weights = cosine_weights([vectors])
    for clusters in (star_clusters(weights), sklearn_clusters("kmeans", weights, 4)):
        theirs = silhouette_score(vectors, clusters.labels, metric="cosine")
        assert silhouette(weights, clusters.labels) == pytest.approx(theirs, abs=1e-5)


def test_num_clusters_is_refused_if_unused():
    PruneSettings(keep_medoids="kmeans", num_clusters=7)
    for keep_medoids in ("star", "nn", "mean_shift"):
        with pytest.raises(
            ValidationError, match=f"num_clusters would be ignored, because keep_medoids = {keep_medoids} finds"
        ):
            PruneSettings(keep_medoids=keep_medoids, num_clusters=7)
