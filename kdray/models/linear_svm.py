"""A linear support vector machine on soft labels (method `soft_classic`; survey S2 §2.1).

Source: Salmony and Faridi (S2), whose soft labels are log-probabilities.
Formula: `regress`: support vector regression (squared errors, no margin) of log p₁ − log p₀, or for more classes of
    log p_c − log(1 − p_c) each, clipped to ±10. `weighted`: hinge loss, each row once a class with the weight p_ic.
Defaults: TF-IDF of words, C = 1, `regress`, which is closest to log-probabilities.
Differs from the source: their fit is not given. Probabilities are a softmax of the scores; those of `weighted`, and of
    `regress` with three classes or more, are not calibrated.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kdray.models.fitted import Fitted, Weights, doubled, of_decision, rows_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CLIP = 10.0  # of log-odds
MOST_STEPS = 100_000


class LinearSVM(Fitted):
    """
    Attributes:
        soft: How soft labels are used: `regress` or `weighted`.
        c: What errors cost against the squared weights; less means smaller weights.
    """

    name: Literal["linear_svm"] = "linear_svm"  # pyright: ignore[reportIncompatibleVariableOverride]
    soft: Literal["regress", "weighted"] = "regress"
    c: float = Field(default=1.0, gt=0, le=1e6)

    def solve(self, features: "csr_matrix", targets: NDArray[np.float64], seed: int) -> Weights:
        from sklearn.svm import LinearSVC

        if self.soft == "weighted":
            rows, classes, weights = doubled(features, targets)
            found = LinearSVC(loss="hinge", C=self.c, max_iter=MOST_STEPS, random_state=seed)
            found.fit(rows, classes, sample_weight=weights)
            return of_decision(found.coef_, np.asarray(found.intercept_))
        known = np.flatnonzero(targets.sum(axis=1) > 0)
        odds, rows = log_odds(targets[known]), rows_of(features, known)
        parts = [self._regression(rows, column, seed) for column in odds.T]
        return of_decision(np.stack([weight for weight, _ in parts]), np.array([bias for _, bias in parts]))

    def _regression(
        self, rows: "csr_matrix", wanted: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[np.float64], float]:
        from sklearn.svm import LinearSVR

        found = LinearSVR(
            loss="squared_epsilon_insensitive", dual="auto", C=self.c, max_iter=MOST_STEPS, random_state=seed
        )
        found.fit(rows, wanted)
        return found.coef_, np.asarray(found.intercept_).item()


def log_odds(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each class against the others, clipped; of two classes only of the second: [rows, 1 or classes]."""
    shares = targets / targets.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        found = np.log(shares) - np.log1p(-shares)
    return np.clip(found if targets.shape[1] > 2 else found[:, 1:], -CLIP, CLIP)
