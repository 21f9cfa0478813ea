"""W-Ensemble: several teachers, fixed weights.

Source: S0 §4.3 and Table 4; Yuan et al. 2021 name it W-Ensemble.
Formula: (1 − α)·CE + α·T²·KL(Σ_k w_k·softmax(z_k/T) ‖ softmax(z_s/T)), w_k ∝ its accuracy on validation.
Needs: logits of K ≥ 2 teachers, cached.
Refuses: fewer than two teachers, other class counts, shares for another number of teachers.
Defaults: T = 5, α = 0.5, `combine: prob` as `ens_u`; weights by accuracy (our choice: no source gives values).
Differs from the source: weights are printed nowhere; one KL to the average, not the average of KLs.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, field_validator

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, MethodOutput, MethodState, PriorOutputs, Status, TeacherStudent
from kdray.methods.ensembles import accuracies, labeled, soft_terms
from kdray.methods.losses import ensemble_log_probs
from kdray.methods.soft_labels import SoftLabels


class EnsW(SoftLabels):
    """Soft labels averaged over all teachers, the better ones weighing more.

    Attributes:
        shares: One number a teacher, 0 or more, scaled to sum 1; None takes the accuracies.
        combine: Average probabilities (`prob`) or logits (`logit`).
    """

    title: ClassVar[str] = "W-Ensemble"
    source: ClassVar[str] = "S0 Table 4; Yuan et al. 2021"
    status: ClassVar[Status] = "gaps filled"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["ens_w"] = "ens_w"  # pyright: ignore[reportIncompatibleVariableOverride]
    shares: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] | None = Field(default=None, examples=[(0.5, 0.3, 0.2)])
    combine: Literal["prob", "logit"] = "prob"

    @field_validator("shares")
    @classmethod
    def _shares_can_be_scaled(
        cls, shares: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] | None
    ) -> tuple[float, ...] | None:
        if shares is not None and not (all(0 <= share < float("inf") for share in shares) and sum(shares) > 0):
            raise ValueError(f"shares are finite numbers from 0 on with a sum above 0, found {list(shares)}")
        return shares

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if self.shares is not None and len(self.shares) != len(pair.teachers):
            raise ConfigError(
                f"method ens_w: {len(self.shares)} method.shares for {len(pair.teachers)} teachers; one each."
            )

    def prepare(self, evidence: PriorOutputs) -> MethodState:
        if self.shares is not None:
            worth = torch.tensor(self.shares)
        else:
            worth = accuracies(labeled(evidence.validation, method="ens_w", split="validation"))
        if worth.sum() == 0:
            raise ConfigError(
                "method ens_w: no teacher is right on any validation row; check the order of their labels."
            )
        return {"weights": worth / worth.sum()}

    def terms(self, step: Batch) -> MethodOutput:
        target = ensemble_log_probs(
            [teacher.logits for teacher in step.teachers],
            step.prepared["weights"],
            temperature=self.temperature,
            combine=self.combine,
        )
        return soft_terms(step, target, self)
