"""Best-Single-Ensemble: of several teachers, the best one alone.

Source: S0 §4.3 and Table 4; Yuan et al. 2021.
Formula: (1 − α)·CE + α·T²·KL(softmax(z_k/T) ‖ softmax(z_s/T)), k = the teacher most accurate on the validation split.
Needs: logits of K ≥ 2 teachers, cached.
Refuses: fewer than two teachers, other class counts.
Defaults: T = 5, α = 0.5 as `ens_u`.
Differs from the source: best by accuracy, whatever metric the task reports; the first of equals.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from kdray.methods.contract import Batch, MethodOutput, MethodState, PriorOutputs
from kdray.methods.ensembles import accuracies, labeled, soft_terms
from kdray.methods.losses import ensemble_log_probs
from kdray.methods.soft_labels import SoftLabels


class EnsBest(SoftLabels):
    """Soft labels of the teacher that is best before the training starts."""

    title: ClassVar[str] = "Best-Single-Ensemble"
    source: ClassVar[str] = "S0 Table 4; Yuan et al. 2021"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["ens_best"] = "ens_best"  # pyright: ignore[reportIncompatibleVariableOverride]

    def prepare(self, evidence: PriorOutputs) -> MethodState:
        right = accuracies(labeled(evidence.validation, method="ens_best", split="validation"))
        best = right.argmax()  # the first of equals
        return {"weights": F.one_hot(best, len(right)).to(torch.float32), "accuracy": right}

    def terms(self, step: Batch) -> MethodOutput:
        target = ensemble_log_probs(
            [teacher.logits for teacher in step.teachers],
            step.prepared["weights"],
            temperature=self.temperature,
            combine="prob",
        )
        return soft_terms(step, target, self, of_one=True)
