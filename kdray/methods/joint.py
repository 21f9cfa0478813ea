"""Teachers fine-tuned together: the first stage of MT-BERT. A way to make teachers, not one to distill.

Source: Wu et al. 2021; S0 Table 4.
Formula: mean_b Σ_k CE_b(z_k, y).
Needs: a model whose logits are those of K classifiers, side by side.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field

from kdray.methods.contract import Batch, MethodOutput
from kdray.methods.finetune import FineTune
from kdray.methods.losses import cross_entropy_rows


class JointFineTuning(FineTune):
    """Every classifier's cross-entropy on gold labels, summed.

    Attributes:
        models: How many classifiers.
    """

    title: ClassVar[str] = "Joint fine-tuning of teachers"
    source: ClassVar[str] = "Wu et al. 2021 (stage 1 of MT-BERT)"

    any_task: ClassVar[bool] = False

    name: Literal["joint"] = "joint"  # pyright: ignore[reportIncompatibleVariableOverride]
    models: int = Field(ge=2, le=100)

    def terms(self, step: Batch) -> MethodOutput:
        each = step.student.logits.unflatten(1, (self.models, -1)).unbind(1)
        return MethodOutput({}, hard=torch.stack([cross_entropy_rows(logits, step.labels) for logits in each]).sum(0))
