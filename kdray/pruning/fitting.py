"""Fit pruning on the units of one split: statistics, scale, threshold, medoids, and the decision for each unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kdray.errors import ConfigError
from kdray.pruning.clusters import Clusters, medoids_of, silhouette
from kdray.pruning.decisions import PolicyDecision, decided, field_groups
from kdray.pruning.graph import MAX_UNITS, CosineWeights, unit_vectors
from kdray.pruning.importance import Floats, Scale, TermStatistics, count_terms, freeze, score
from kdray.pruning.parts import Runner, clusters_by_part
from kdray.pruning.policies import Mask, dropped_by, limit_threshold, threshold_of
from kdray.pruning.pruner import Pruner
from kdray.pruning.settings import PruneSettings
from kdray.pruning.sklearn_clustering import sklearn_clusters
from kdray.pruning.units import Level, is_row_level, text_column


@dataclass(frozen=True)
class Fit:
    """The result of fitting.

    Attributes:
        pruner: Frozen statistics, for other splits and for inference.
        decisions: The decision for each fitted unit (columns as in `decide`), with medoids protected.
        warnings: Sentences for the user; empty if all went as set.
        silhouette: The mean over units, of clusters by distance 1 − cosine; None without clusters, or with more units
            than one graph holds.
    """

    pruner: Pruner
    decisions: pa.Table
    warnings: tuple[str, ...]
    silhouette: float | None = None


def fit(units: pa.Table, embeddings: Sequence[npt.NDArray[Any]], settings: PruneSettings, *, level: Level) -> Fit:
    """Fit pruning on all units of a split, in one process.

    Args:
        units: From `units_of` at level sentence, from `row_units` at level row.
        embeddings: One array [units, width] for each teacher, in the order of the units; empty if nothing is protected.
        settings: The ``prune`` section.
        level: From `resolve_level`.

    Raises:
        ConfigError: Nothing could be pruned at this level, or the embeddings do not fit (see `cosine_weights`).
    """
    texts = text_column(units)
    statistics = freeze(count_terms(texts))
    scores = score(texts, statistics, settings.score)
    return fit_scores(units, scores, embeddings, settings, level=level, statistics=statistics)


def fit_scores(
    units: pa.Table,
    scores: Floats,
    embeddings: Sequence[npt.NDArray[Any]],
    settings: PruneSettings,
    *,
    level: Level,
    statistics: TermStatistics,
    run: Runner = map,
) -> Fit:
    """`fit` with scores [units] that were computed elsewhere, from the given statistics; `run` is who works on the
    parts of a graph that is cut into parts."""
    assert len(scores) == units.num_rows
    _check(units, embeddings, settings, level)
    scale = Scale.of(scores)
    importance = scale.importance(scores)
    wanted = threshold_of(settings.policy, importance)
    threshold = limit_threshold(importance, wanted, settings.prune_rate_limit)
    below = dropped_by(settings.policy, importance)
    warnings: tuple[str, ...] = ()
    if threshold < wanted:
        warnings = (_warning(below, wanted, threshold, settings.prune_rate_limit),)
        below &= importance < threshold
    clusters, apart = _clusters(units.num_rows, embeddings, settings, run)
    pruner = Pruner(settings, level, statistics, scale, threshold)
    verdict = PolicyDecision(importance, below, clusters, settings.medoid_rule != "none")
    return Fit(pruner, decided(units, verdict, settings, level), warnings, apart)


def _check(units: pa.Table, embeddings: Sequence[npt.NDArray[Any]], settings: PruneSettings, level: Level) -> None:
    if settings.policy.name == "none":
        return
    if not units.num_rows:
        raise ConfigError("The split has no units to prune; use a corpus with rows and a prunable field.")
    if is_row_level(units) != (level == "row"):
        raise ConfigError(
            f"The units are not of prune.level = {level}; build them with units_of (sentence) or row_units (row)."
        )
    for teacher, array in enumerate(embeddings):
        if array.ndim != 2 or len(array) != units.num_rows:
            raise ConfigError(
                f"Embeddings of teacher {teacher} have shape {array.shape} for {units.num_rows} units; compute again."
            )
    if level == "sentence" and np.bincount(field_groups(units)).max() <= settings.min_keep:
        raise ConfigError(
            f"prune.level = sentence can remove nothing: no text has more than prune.min_keep = {settings.min_keep} "
            "sentences; set prune.level = row or prune.policy = none."
        )


def _warning(below: Mask, wanted: float, threshold: float, limit: float) -> str:
    return (
        f"The policy's threshold {wanted:.4f} would prune {below.mean():.1%} of the units, above "
        f"prune.max_prune_rate = {limit}; it was lowered to {threshold:.4f}."
    )


def _clusters(
    num_units: int, embeddings: Sequence[npt.NDArray[Any]], settings: PruneSettings, run: Runner
) -> tuple[Clusters, float | None]:
    """The clusters, and how well they separate."""
    medoid_rule = settings.medoid_rule
    if medoid_rule == "none":
        return Clusters.none(num_units), None
    if medoid_rule == "star" or medoid_rule == "nn":
        if num_units > MAX_UNITS:
            return clusters_by_part(unit_vectors(embeddings, settings.edge, np.float32), medoid_rule, run=run), None
        weights = CosineWeights(unit_vectors(embeddings, settings.edge))
        clusters = medoids_of(weights, medoid_rule)
    elif num_units > MAX_UNITS:
        raise ConfigError(
            f"prune.keep_medoids = {medoid_rule} takes at most {MAX_UNITS:,} units, found {num_units:,}; "
            "use star or nn."
        )
    else:
        weights = CosineWeights(unit_vectors(embeddings, settings.edge))
        clusters = sklearn_clusters(medoid_rule, weights, settings.num_clusters)
    return clusters, None if medoid_rule == "nn" else silhouette(weights, clusters.labels)
