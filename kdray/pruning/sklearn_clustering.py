"""Clusterings from scikit-learn to compare with the paper's: the same unit vectors and kind of medoids.

Source: S0 Figure 3, which compares them by accuracy and silhouette and gives no settings; the number of clusters and
everything else here is ours.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kdray.pruning.clusters import Clusters
from kdray.pruning.graph import CosineWeights, Floats, Ints

Comparator = Literal["kmeans", "gmm", "spectral", "agglomerative", "mean_shift"]
COUNTED: frozenset[str] = frozenset({"kmeans", "gmm", "spectral", "agglomerative"})  # need the number of clusters
SEED = 0
WEAKEST = 1e-6  # of an edge: the spectrum of a graph of several components would say little of each
BANDWIDTH_ROWS = 500  # a sample; the estimate costs its square


def sklearn_clusters(how: Comparator, weights: CosineWeights, number: int | None) -> Clusters:
    """Cluster units, with the member nearest to its cluster's mean (the lowest number, if equal) as its medoid.

    Clusters of one have no medoid. Repeatable on one machine; other builds of scikit-learn may differ in the last bits.

    Args:
        weights: Their vectors [units, width], of length 1.
        number: Of clusters; None is ⌈√(units/2)⌉. Mean shift finds its own.
    """
    count = len(weights.vectors)
    if count < 2:
        return Clusters(np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.bool_))
    different, alike = np.unique(np.round(weights.vectors, 6), axis=0, return_inverse=True)
    wanted = number or math.ceil(math.sqrt(count / 2))
    if len(different) <= wanted:  # nothing left to decide
        found = alike.reshape(-1)
    elif wanted == 1 and how in COUNTED:
        found = np.zeros(count, dtype=np.int32)
    else:
        found = _FITS[how](weights.vectors, wanted)
    labels = _numbered(found)
    return Clusters(labels, _medoids(weights.vectors, labels))


def _numbered(labels: npt.NDArray[np.integer]) -> Ints:
    """Clusters counted from 0 in the order in which units meet them."""
    _, first, own = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int32)
    place[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return place[own]


def _medoids(vectors: Floats, labels: Ints) -> npt.NDArray[np.bool_]:
    medoids = np.zeros(len(labels), dtype=np.bool_)
    for cluster in np.flatnonzero(np.bincount(labels) > 1):
        members = np.flatnonzero(labels == cluster)
        near = np.round(vectors[members] @ vectors[members].mean(axis=0), 6)
        medoids[members[int(near.argmax())]] = True
    return medoids


def _kmeans(vectors: Floats, number: int) -> npt.NDArray[np.integer]:
    from sklearn.cluster import KMeans  # not at the top: an inference that only loads a pruner has no use for it

    fitting: Any = KMeans(number, n_init=4, random_state=SEED)  # pyright: ignore[reportArgumentType] - a number too
    return fitting.fit_predict(vectors)


def _gmm(vectors: Floats, number: int) -> npt.NDArray[np.integer]:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(number, covariance_type="diag", random_state=SEED, reg_covar=1e-4).fit_predict(vectors)


def _spectral(vectors: Floats, number: int) -> npt.NDArray[np.integer]:
    from sklearn.cluster import SpectralClustering

    similarity = np.clip(vectors @ vectors.T, WEAKEST, None)
    fitting = SpectralClustering(number, affinity="precomputed", assign_labels="cluster_qr", random_state=SEED)
    return fitting.fit_predict(similarity)


def _agglomerative(vectors: Floats, number: int) -> npt.NDArray[np.integer]:
    from sklearn.cluster import AgglomerativeClustering

    distances = np.clip(1.0 - vectors @ vectors.T, 0.0, None)  # not "cosine": that is undefined for a zero vector
    return AgglomerativeClustering(number, metric="precomputed", linkage="average").fit_predict(distances)


def _mean_shift(vectors: Floats, number: int) -> npt.NDArray[np.integer]:
    from sklearn.cluster import MeanShift, estimate_bandwidth

    del number
    bandwidth = estimate_bandwidth(vectors, n_samples=min(len(vectors), BANDWIDTH_ROWS), random_state=SEED)
    if not bandwidth:  # all units alike
        return np.zeros(len(vectors), dtype=np.int32)
    return MeanShift(bandwidth=bandwidth).fit_predict(vectors)


_FITS: dict[Comparator, Callable[[Floats, int], npt.NDArray[np.integer]]] = {
    "kmeans": _kmeans,
    "gmm": _gmm,
    "spectral": _spectral,
    "agglomerative": _agglomerative,
    "mean_shift": _mean_shift,
}
