"""Scores of a model, their uncertainty, and its cost."""

from kdray.evaluate.cost import Cost, cost_of
from kdray.evaluate.paired import Right, bootstrap, by_seed, holm, mcnemar, pack_rows, unpack_rows
from kdray.evaluate.predict import predict
from kdray.evaluate.statistics import Against, Spread, against, distillation_ratio, retention, spread, welch

__all__ = [
    "Against",
    "Cost",
    "Right",
    "Spread",
    "against",
    "bootstrap",
    "by_seed",
    "cost_of",
    "distillation_ratio",
    "holm",
    "mcnemar",
    "pack_rows",
    "predict",
    "retention",
    "spread",
    "unpack_rows",
    "welch",
]
