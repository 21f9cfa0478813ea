"""Sentence pruning: units, importance, graph, policies. Pure functions; counts of parts add up with ``+``."""

from kdray.pruning.fitting import Fit, fit, fit_scores
from kdray.pruning.importance import TermCounts, count_terms, freeze, score
from kdray.pruning.picture import picture
from kdray.pruning.policies import PruningPolicy
from kdray.pruning.pruner import Pruner
from kdray.pruning.settings import PruneSettings, resolve_level
from kdray.pruning.summary import changed_texts, summary
from kdray.pruning.tables import Pruned, prune_fitted, prune_table, units_at
from kdray.pruning.units import HASH_COLUMN, LevelCounts, level_counts, units_of

__all__ = [
    "HASH_COLUMN",
    "Fit",
    "LevelCounts",
    "PruneSettings",
    "Pruned",
    "Pruner",
    "PruningPolicy",
    "TermCounts",
    "changed_texts",
    "count_terms",
    "fit",
    "fit_scores",
    "freeze",
    "level_counts",
    "picture",
    "prune_fitted",
    "prune_table",
    "resolve_level",
    "score",
    "summary",
    "units_at",
    "units_of",
]
