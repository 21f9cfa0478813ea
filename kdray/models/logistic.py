"""Logistic regression on soft labels (method `soft_classic`; survey S2 §2.1).

Source: Salmony and Faridi (S2).
Formula: min ½·‖W‖² + C·Σ_i Σ_c −p_ic·log softmax(W·x_i + b)_c: each row once a class, with the weight p_ic.
Defaults: TF-IDF of words, C = 1.
Differs from the source: their fit is not given.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kdray.models.fitted import Fitted, Weights, doubled, of_decision

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_STEPS = 10_000


class Logistic(Fitted):
    """
    Attributes:
        c: What errors cost against the squared weights; less means smaller weights.
    """

    name: Literal["logistic"] = "logistic"  # pyright: ignore[reportIncompatibleVariableOverride]
    c: float = Field(default=1.0, gt=0, le=1e6)

    def solve(self, features: "csr_matrix", targets: NDArray[np.float64], seed: int) -> Weights:
        from sklearn.linear_model import LogisticRegression

        rows, classes, weights = doubled(features, targets)
        found = LogisticRegression(C=self.c, max_iter=MOST_STEPS, random_state=seed)
        found.fit(rows, classes, sample_weight=weights)
        return of_decision(found.coef_, np.asarray(found.intercept_))
