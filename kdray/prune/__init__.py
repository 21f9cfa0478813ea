"""Sentence pruning: units, importance, graph, policies. Pure functions; partial counts of shards add up with ``+``."""

from kdray.prune.apply import originals
from kdray.prune.fitting import Fit, fit, fit_scores
from kdray.prune.importance import TermCounts, count_terms, freeze, score
from kdray.prune.picture import picture
from kdray.prune.pruner import Pruner
from kdray.prune.settings import PruneSettings, resolve_level
from kdray.prune.summary import changed_texts, summary
from kdray.prune.tables import Pruned, prune_fitted, prune_table, units_at
from kdray.prune.units import HASH_COLUMN, LevelCounts, level_counts, units_of

__all__ = [
    "HASH_COLUMN",
    "Fit",
    "LevelCounts",
    "PruneSettings",
    "Pruned",
    "Pruner",
    "TermCounts",
    "changed_texts",
    "count_terms",
    "fit",
    "fit_scores",
    "freeze",
    "level_counts",
    "originals",
    "picture",
    "prune_fitted",
    "prune_table",
    "resolve_level",
    "score",
    "summary",
    "units_at",
    "units_of",
]
