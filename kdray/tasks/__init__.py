"""Tasks: what a model learns from labels, and the metrics that say how well."""

from kdray.tasks.metrics import (
    METRICS,
    Metric,
    Needs,
    Predictions,
    Target,
    best_of,
    get_metric,
    identity,
    is_better,
    metric,
    register,
)
from kdray.tasks.scores import baseline, score_all, score_one

__all__ = [
    "METRICS",
    "Metric",
    "Needs",
    "Predictions",
    "Target",
    "baseline",
    "best_of",
    "get_metric",
    "identity",
    "is_better",
    "metric",
    "register",
    "score_all",
    "score_one",
]
