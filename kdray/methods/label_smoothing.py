"""Label smoothing, a control: soft labels without a teacher.

Source: Szegedy et al. 2016; a control for soft labels, as they may help by being soft alone.
Formula: mean −Σ_c q_c·log softmax(z_s)_c, q = (1 − ε)·onehot(y) + ε/C.
Needs: nothing of a teacher.
Refuses: tasks without one class a row.
Defaults: ε = 0.1, as the source.
Differs from the source: nothing.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from kdray.methods.contract import Batch, Method, MethodOutput
from kdray.methods.losses import cross_entropy_rows, log_probs
from kdray.methods.soft_classic import gold_labels
from kdray.signals import Need


class LabelSmoothing(Method):
    """Cross-entropy on gold labels of which every class gets a share; no teacher.

    Attributes:
        smoothing: The share that all classes get together, 0 to 1.
    """

    title: ClassVar[str] = "Label smoothing (control)"
    source: ClassVar[str] = "Szegedy et al. 2016; a control without a teacher"
    access: ClassVar[str] = "none"
    min_teachers: ClassVar[int] = 0
    max_teachers: ClassVar[int | None] = 0

    name: Literal["label_smoothing"] = "label_smoothing"  # pyright: ignore[reportIncompatibleVariableOverride]
    smoothing: float = Field(default=0.1, gt=0, le=1)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset()

    def weights(self) -> dict[str, float]:
        return {"hard": 1.0}

    def soft_labels(self, step: Batch) -> Float[Tensor, "batch classes"]:
        gold = gold_labels(step)
        share = self.smoothing * (step.labels >= 0).unsqueeze(1) / gold.shape[1]
        return (1 - self.smoothing) * gold + share

    def terms(self, step: Batch) -> MethodOutput:
        gold = cross_entropy_rows(step.student.logits, step.labels)
        even = -log_probs(step.student.logits, 1.0).mean(-1)
        labeled = step.labels >= 0
        return MethodOutput({}, hard=torch.where(labeled, (1 - self.smoothing) * gold + self.smoothing * even, 0.0))
