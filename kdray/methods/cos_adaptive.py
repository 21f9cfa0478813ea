"""KD whose weight follows, row by row, how much student and teacher agree; no weight is set by hand.

Source: Chen et al.; S2 §3.2, which gives no formula.
Formula: mean_b [c_b·CE_b + (1 − c_b)·T²·KL_b(softmax(z_t/T) ‖ softmax(z_s/T))], c_b = cos(softmax(z_t), softmax(z_s)).
Needs: logits of one teacher, cached.
Refuses: several teachers, other class counts, one class, tasks without one distribution a row.
Defaults: `imitate: different`, the KD term counts more where the two disagree; T = 5 and T² on as `kd`.
Differs from the source: the formula is ours. `imitate: similar` swaps the weights; with `imitate: correct` KD has the
    weight cos(softmax(z_t), onehot(y)), the teacher's own agreement with the gold label (1 for an unlabeled row).
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from kdray.methods.contract import Batch, Status
from kdray.methods.losses import kd_rows, log_probs
from kdray.methods.soft_labels import SoftTargets


class CosAdaptive(SoftTargets):
    """Soft labels of one teacher, weighted by a cosine.

    Attributes:
        imitate: Where KD counts more: where student and teacher are `different` or `similar`, or the teacher `correct`.
    """

    title: ClassVar[str] = "Cosine-adaptive KD"
    source: ClassVar[str] = "Chen et al.; S2 §3.2 (formula filled in)"
    status: ClassVar[Status] = "reconstruction"

    name: Literal["cos_adaptive"] = "cos_adaptive"  # pyright: ignore[reportIncompatibleVariableOverride]
    imitate: Literal["different", "similar", "correct"] = "different"

    def weights(self) -> dict[str, float]:
        return {"hard": 0.5, "kd": 0.5}  # the schedule replaces both in every step

    def schedule(self, step: Batch) -> dict[str, Float[Tensor, " batch"]]:
        soft = self._soft_weight(step)
        return {"hard": 1 - soft, "kd": soft}

    def losses(self, step: Batch) -> dict[str, Float[Tensor, " batch"]]:
        target = log_probs(step.teachers[0].logits, self.temperature)
        rows = kd_rows(
            target,
            step.student.logits,
            temperature=self.temperature,
            t2_scaling=self.t2_scaling,
            direction=self.direction,
        )
        return {"kd": rows}

    def _soft_weight(self, step: Batch) -> Float[Tensor, " batch"]:
        teacher, student = (log_probs(each.logits, 1.0).exp() for each in (step.teachers[0], step.student))
        if self.imitate != "correct":
            agreement = F.cosine_similarity(teacher, student, dim=-1)
            return agreement if self.imitate == "similar" else 1 - agreement
        labeled = step.labels >= 0
        gold = F.one_hot(step.labels.clamp(min=0), teacher.shape[-1]).to(teacher)
        return torch.where(labeled, F.cosine_similarity(teacher, gold, dim=-1), 1.0)
