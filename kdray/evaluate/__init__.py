"""Scores of a model, their uncertainty, and its cost."""

from kdray.evaluate.cost import Cost, cost_of
from kdray.evaluate.predict import predict
from kdray.evaluate.statistics import Against, Spread, against, distillation_ratio, retention, spread, welch

__all__ = [
    "Against",
    "Cost",
    "Spread",
    "against",
    "cost_of",
    "distillation_ratio",
    "predict",
    "retention",
    "spread",
    "welch",
]
