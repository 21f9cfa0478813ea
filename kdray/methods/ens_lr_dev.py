"""LR-Dev-Ensemble: several teachers, weighed by logistic regression on the rows that models are selected on.

Source: S0 §4.3 and Table 4; Yuan et al. 2021.
Formula: (1 − α)·CE + α·T²·KL(P_ens ‖ softmax(z_s/T)). `mode: weights`: u minimizes the mean NLL of
    softmax(Σ_k u_k·log p_k) + ½‖u‖²/N, and P_ens = Σ_k w_k·softmax(z_k/T) with w_k = max(u_k, 0)/Σ_j max(u_j, 0),
    uniform where all u are 0 or less. `mode: stacking`: P_ens = softmax((W·[p_1 … p_K] + b)/T), W and b by multinomial
    logistic regression with the same penalty on W.
Needs: logits of K ≥ 2 teachers, cached; their logits and the labels of the validation rows.
Refuses: fewer than two teachers, other class counts, no labeled validation row, `stacking` without some class.
Defaults: T = 5, α = 0.5, `combine: prob` as `ens_u`; one weight a teacher (our choice).
Differs from the source: no source prints the regression. It is fitted on the validation split, which also chooses the
    epoch, never on a split that is reported.
"""

from typing import ClassVar, Literal

from kdray.methods.contract import MethodState, PriorOutputs, Status
from kdray.methods.fitted import FittedEnsemble, fitted


class EnsLRDev(FittedEnsemble):
    """Soft labels of an ensemble fitted to the labels of the validation rows. Settings as in `FittedEnsemble`."""

    title: ClassVar[str] = "LR-Dev-Ensemble"
    source: ClassVar[str] = "S0 Table 4; Yuan et al. 2021"
    status: ClassVar[Status] = "gaps filled"

    name: Literal["ens_lr_dev"] = "ens_lr_dev"  # pyright: ignore[reportIncompatibleVariableOverride]

    def prepare(self, evidence: PriorOutputs) -> MethodState:
        return fitted(evidence.validation, self.mode, method=self.name, split="validation")
