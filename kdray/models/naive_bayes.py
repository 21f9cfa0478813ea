"""Multinomial naive Bayes with fractional counts (method `soft_classic`; survey S2 §2.1).

Source: Salmony and Faridi (S2), who give BERT's outputs to a naive Bayes as soft labels; McCallum and Nigam 1998.
Formula: prior_c = Σ_i p_ic / N, θ_cw = (Σ_i p_ic·x_iw + a) / (Σ_w' Σ_i p_ic·x_iw' + a·V); logits = log prior + x·log θ.
Defaults: counts of words, a = 1.
Differs from the source: their fit is not given. Weights are stored minus their mean over the classes, which changes no
    probability and keeps logits small.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kdray.models.fitted import Fitted, Weights, doubled

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class NaiveBayes(Fitted):
    """
    Attributes:
        smoothing: Added to every count.
    """

    name: Literal["naive_bayes"] = "naive_bayes"  # pyright: ignore[reportIncompatibleVariableOverride]
    weighting: Literal["counts", "tfidf"] = "counts"
    smoothing: float = Field(default=1.0, gt=0, le=1e6)

    def solve(self, features: "csr_matrix", targets: NDArray[np.float64], seed: int) -> Weights:
        del seed
        from sklearn.naive_bayes import MultinomialNB

        rows, classes, weights = doubled(features, targets)
        found = MultinomialNB(alpha=self.smoothing).fit(rows, classes, sample_weight=weights)
        weight, bias = found.feature_log_prob_, found.class_log_prior_
        return weight - weight.mean(axis=0), bias - bias.mean()
