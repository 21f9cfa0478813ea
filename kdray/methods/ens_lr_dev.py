"""LR-Dev-Ensemble: several teachers, weighed by logistic regression on the rows that models are selected on.

Source: S0 §4.3 and Table 4; Yuan et al. 2021.
Formula: (1 − α)·CE + α·T²·KL(P_ens ‖ softmax(z_s/T)). `mode: weights`: u minimises the mean NLL of
    softmax(Σ_k u_k·log p_k) + ½‖u‖²/N, and P_ens = Σ_k w_k·softmax(z_k/T) with w_k = max(u_k, 0)/Σ_j max(u_j, 0),
    uniform where all u are 0 or less. `mode: stacking`: P_ens = softmax((W·[p_1 … p_K] + b)/T), W and b by multinomial
    logistic regression with the same penalty on W.
Needs: logits of K ≥ 2 teachers, cached; their logits and the labels of the select rows.
Refuses: fewer than two teachers, other class counts, no labelled select row, `stacking` without some class.
Defaults: T = 5, α = 0.5, `combine: prob` as `ens_u`; one weight a teacher (our choice).
Differs from the source: no source prints the regression. It is fitted on the select split, which also chooses the
    epoch, never on a split that is reported.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from kdray.methods.contract import Evidence, Method, Prepared, Step, Terms
from kdray.methods.ensembles import soft_terms
from kdray.methods.fitted import Combine, Mode, fitted, fitted_target
from kdray.methods.losses import Direction, Reduction


class FittedOnSelect(Method):
    """Soft labels of an ensemble fitted to the labels of the select rows.

    Attributes:
        temperature: Softens the target and the student; above 0.
        alpha: Weight of the KD term, 0 to 1.
        mode: One weight a teacher (`weights`), or a regression on all their probabilities (`stacking`).
        combine: With `weights`: average probabilities (`prob`) or logits (`logit`).
    """

    title: ClassVar[str] = "LR-Dev-Ensemble"
    source: ClassVar[str] = "S0 Table 4; Yuan et al. 2021"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["ens_lr_dev"] = "ens_lr_dev"  # pyright: ignore[reportIncompatibleVariableOverride]
    temperature: float = Field(default=5.0, gt=0)
    alpha: float = Field(default=0.5, ge=0, le=1)
    mode: Mode = "weights"
    combine: Combine = "prob"
    t2_scaling: bool = True
    direction: Direction = "forward"
    reduction: Reduction = "batchmean"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "FittedOnSelect":
        if self.mode == "stacking":
            self.refuse_idle(("combine",), because="mode is stacking")
        return self

    def prepare(self, evidence: Evidence) -> Prepared:
        return fitted(evidence.select, self.mode, method=self.name, split="select")

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha}

    def terms(self, step: Step) -> Terms:
        target = fitted_target(step, self.mode, combine=self.combine, temperature=self.temperature)
        return soft_terms(step, target, self)
