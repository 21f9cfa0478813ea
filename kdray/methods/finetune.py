"""Fine-tuning on hard labels alone: how teachers are made, and the student without a teacher.

Source: none; the baseline of every table.
Formula: mean CE(z_s, y).
Needs: nothing of a teacher.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from kdray.methods.contract import Batch, Method, MethodOutput
from kdray.methods.soft_classic import gold_labels
from kdray.signals import Need


class FineTune(Method):
    """Cross-entropy on gold labels; no teacher."""

    title: ClassVar[str] = "Fine-tuning (no-KD baseline)"
    source: ClassVar[str] = "baseline: the no-KD baseline, and how teachers are made"
    access: ClassVar[str] = "none"
    min_teachers: ClassVar[int] = 0
    max_teachers: ClassVar[int | None] = 0

    any_task: ClassVar[bool] = True

    name: Literal["finetune"] = "finetune"  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset()

    def weights(self) -> dict[str, float]:
        return {"hard": 1.0}

    def soft_labels(self, step: Batch) -> Float[Tensor, "batch classes"]:
        return gold_labels(step)

    def terms(self, step: Batch) -> MethodOutput:
        return MethodOutput({})
