"""U-Ensemble: several teachers, equal weights.

Source: S0 eq. 1 and 6; Yuan et al. 2021 name it U-Ensemble.
Formula: (1 − α)·CE + α·T²·KL(P_ens ‖ softmax(z_s/T)), P_ens = (1/K)·Σ_k softmax(z_k/T).
Needs: logits of K ≥ 2 teachers, cached.
Refuses: fewer than two teachers, other class counts.
Defaults: T = 5, α = 0.5 as `kd`; `combine: prob` (eq. 6; the text of S0 also mentions logits, D3).
Differs from the source: one KL to the average, not the average of KLs (equal gradients, a smaller printed loss).
"""

from typing import ClassVar, Literal

import torch

from kdray.methods.contract import Batch, LossTerm, MethodOutput, all_asked
from kdray.methods.ensembles import soft_terms
from kdray.methods.losses import ensemble_log_probs, mse_rows
from kdray.methods.soft_labels import SoftLabels


class EnsU(SoftLabels):
    """Soft labels averaged over all teachers.

    Attributes:
        combine: Average probabilities (`prob`) or logits (`logit`).
    """

    title: ClassVar[str] = "U-Ensemble"
    source: ClassVar[str] = "S0 eq. 6; Yuan et al. 2021"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    any_task: ClassVar[bool] = True

    name: Literal["ens_u"] = "ens_u"  # pyright: ignore[reportIncompatibleVariableOverride]
    combine: Literal["prob", "logit"] = "prob"

    def terms(self, step: Batch) -> MethodOutput:
        share = [1 / len(step.teachers)] * len(step.teachers)
        views = [step.task.distributions(teacher.logits) for teacher in step.teachers]
        logits = [each for each in views if each is not None]
        if not logits:
            mean = torch.stack([teacher.logits for teacher in step.teachers]).mean(0)
            term = LossTerm(mse_rows(mean, step.student.logits))
            return MethodOutput({"kd": term}, queries=all_asked(step, term))
        target = ensemble_log_probs(logits, share, temperature=self.temperature, combine=self.combine)
        return soft_terms(step, target, self)
