"""Soft labels as a target of their own, for students that are fitted at once: naive Bayes, SVM, logistic regression.

Source: Salmony and Faridi; S2 §2.1, which gives no formula.
Formula: p_i = λ·mean_k softmax(z_tk / T) + (1 − λ)·onehot(y_i). Students of steps minimize
    (1 − λ)·CE + λ·(−Σ_c p_c·log softmax(z_s / T)_c), which for T = 1 is the cross-entropy to p_i.
Needs: logits of one teacher or more, cached.
Refuses: other class counts, tasks without one distribution a row.
Defaults: λ = 0.7, T = 1.
Differs from the source: the blend with gold labels is ours. A student that is fitted at once is not softened by T; a
    row without a label learns from the teachers alone, one without predictions from its label alone.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from kdray.methods.contract import Batch, Method, Status
from kdray.methods.losses import ensemble_log_probs, soft_cross_entropy_rows


class SoftClassic(Method):
    """Soft labels of the mean teacher, blended with gold labels.

    Attributes:
        blend: Share of the teachers, 0 to 1.
        temperature: Softens each teacher; above 0.
    """

    title: ClassVar[str] = "Soft labels for classic students"
    source: ClassVar[str] = "Salmony and Faridi; S2 §2.1 (formula filled in)"
    status: ClassVar[Status] = "reconstruction"
    max_teachers: ClassVar[int | None] = None

    name: Literal["soft_classic"] = "soft_classic"  # pyright: ignore[reportIncompatibleVariableOverride]
    blend: float = Field(default=0.7, ge=0, le=1)
    temperature: float = Field(default=1.0, gt=0, le=1000)

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.blend, "kd": self.blend}

    def losses(self, step: Batch) -> dict[str, Float[Tensor, " batch"]]:
        return {"kd": soft_cross_entropy_rows(self._teachers(step), step.student.logits, temperature=self.temperature)}

    def soft_labels(self, step: Batch) -> Float[Tensor, "batch classes"]:
        soft, gold = self._teachers(step).exp(), gold_labels(step).to(step.student.logits)
        predicted = torch.ones_like(step.labels, dtype=torch.bool) if step.predicted is None else step.predicted
        share = (torch.where(step.labels < 0, 1.0, self.blend) * predicted).unsqueeze(1)
        return share * soft + (1 - share) * gold

    def _teachers(self, step: Batch) -> Float[Tensor, "batch classes"]:
        logits = [teacher.logits for teacher in step.teachers]
        return ensemble_log_probs(logits, [1 / len(logits)] * len(logits), temperature=self.temperature, combine="prob")


def gold_labels(step: Batch) -> Float[Tensor, "batch classes"]:
    """1 for the gold class of a row; a row without a label has none."""
    found = F.one_hot(step.labels.clamp(min=0), step.student.logits.shape[-1])
    return torch.where(step.labels.unsqueeze(1) < 0, 0, found).float()
