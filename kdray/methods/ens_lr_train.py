"""LR-Train-Ensemble: several teachers, weighed by logistic regression on the rows that are trained on.

Source: S0 §4.3 (no row in its tables); Yuan et al. 2021.
Formula: (1 − α)·CE + α·T²·KL(P_ens ‖ softmax(z_s/T)). `mode: weights`: u minimizes the mean NLL of
    softmax(Σ_k u_k·log p_k) + ½‖u‖²/N, and P_ens = Σ_k w_k·softmax(z_k/T) with w_k = max(u_k, 0)/Σ_j max(u_j, 0),
    uniform where all u are 0 or less. `mode: stacking`: P_ens = softmax((W·[p_1 … p_K] + b)/T), W and b by multinomial
    logistic regression with the same penalty on W.
Needs: logits of K ≥ 2 teachers, cached; their logits and the labels of the train rows.
Refuses: fewer than two teachers, other class counts, no labeled train row, `stacking` without some class.
Defaults: T = 5, α = 0.5, `combine: prob` as `ens_u`; one weight a teacher (our choice).
Differs from the source: no source prints the regression. Teachers have memorized the training rows, so the
    weights may degenerate: a warning is logged above 0.99, and result.json has the weights and these accuracies.
"""

import logging
from typing import ClassVar, Literal

from kdray.methods.contract import MethodState, PriorOutputs, Status
from kdray.methods.fitted import FittedEnsemble, fitted

log = logging.getLogger(__name__)
MEMORIZED = 0.99


class EnsLRTrain(FittedEnsemble):
    """Soft labels of an ensemble fitted to the labels of the train rows. Settings as in `FittedEnsemble`."""

    title: ClassVar[str] = "LR-Train-Ensemble"
    source: ClassVar[str] = "S0 §4.3; Yuan et al. 2021"
    status: ClassVar[Status] = "gaps filled"

    name: Literal["ens_lr_train"] = "ens_lr_train"  # pyright: ignore[reportIncompatibleVariableOverride]

    def prepare(self, evidence: PriorOutputs) -> MethodState:
        prepared = fitted(evidence.train, self.mode, method=self.name, split="train")
        if (least := float(prepared["accuracy"].min())) > MEMORIZED:
            log.warning(
                "method ens_lr_train: every teacher is right on %.1f %% of the train rows or more, so the fit "
                "can hardly tell them apart; take ens_lr_dev.",
                100 * least,
            )
        return prepared
