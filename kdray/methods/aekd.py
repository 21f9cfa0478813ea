"""AE-KD: teachers whose gradients disagree are weighed so that the student moves in a direction they have in common.

Source: Du et al. 2020, "Agree to Disagree: Adaptive Ensemble Knowledge Distillation in Gradient Space".
Formula: (1 − α)·CE + α·T²·Σ_k w_k·KL(softmax(z_k/T) ‖ softmax(z_s/T)), w = argmin ‖Σ_k w_k·g_k‖² with Σ_k w_k = 1 and
    0 ≤ w_k ≤ c; g_k = softmax(z_s/T) − softmax(z_k/T), the direction of that KL's gradient by the student's logits.
Needs: logits of K ≥ 2 teachers, cached.
Refuses: fewer than two teachers, other class counts, a cap below 1/K.
Defaults: T = 5, α = 0.5 as `kd`; c = 1, no cap.
Differs from the source: weights are found row by row; the cap is c instead of 1/(νK). No gradient flows through them.
"""

from itertools import combinations
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, MethodOutput, Status, TeacherStudent, all_asked
from kdray.methods.losses import kl_rows, log_probs
from kdray.methods.soft_labels import SoftLabels

ROUNDS = 60  # over all pairs of teachers; two teachers are exact after one


class AEKD(SoftLabels):
    """Soft labels of several teachers, weighed row by row by where their gradients agree.

    Attributes:
        cap: The largest weight of a teacher, at least 1/K; 1 is no cap.
    """

    title: ClassVar[str] = "AE-KD"
    source: ClassVar[str] = "Du et al. 2020; cited by S1"
    status: ClassVar[Status] = "gaps filled"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["aekd"] = "aekd"  # pyright: ignore[reportIncompatibleVariableOverride]
    cap: float = Field(default=1.0, gt=0, le=1, examples=[0.6])

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if self.cap * len(pair.teachers) < 1:
            raise ConfigError(
                f"method aekd: {len(pair.teachers)} weights of at most method.cap = {self.cap:g} do not reach 1; set "
                f"method.cap to {1 / len(pair.teachers):.3g} or more."
            )

    def terms(self, step: Batch) -> MethodOutput:
        student = log_probs(step.student.logits, self.temperature)
        every = [log_probs(teacher.logits, self.temperature) for teacher in step.teachers]
        now = student.detach().exp()
        weights = least_norm(torch.stack([now - each.exp() for each in every], dim=1), self.cap)
        pairs = [(each, student) if self.direction == "forward" else (student, each) for each in every]
        rows = (weights * torch.stack([kl_rows(*pair) for pair in pairs], dim=1)).sum(1)
        scale = self.temperature**2 if self.t2_scaling else 1.0
        shared = student.shape[-1] if self.reduction == "elementmean" else 1
        term = LossTerm(rows * scale / shared)
        return MethodOutput({"kd": term}, queries=all_asked(step, term))


def least_norm(vectors: Float[Tensor, "rows teachers width"], cap: float) -> Float[Tensor, "rows teachers"]:
    """Weights of 0 to `cap` with the sum 1 whose weighted sum of the vectors is shortest, row by row.

    Two weights at a time are moved against each other to the best place, which is exact for two vectors.

    >>> least_norm(torch.tensor([[[1.0, 0.0], [-0.5, 1.0]]]), cap=1.0)
    tensor([[0.5385, 0.4615]])
    """
    count = vectors.shape[1]
    gram = vectors @ vectors.transpose(1, 2)
    weights = torch.full_like(vectors[..., 0], 1 / count)
    for _ in range(ROUNDS if count > 2 else 1):
        for i, j in combinations(range(count), 2):
            slope = ((gram[:, i] - gram[:, j]) * weights).sum(1)
            bend = gram[:, i, i] - 2 * gram[:, i, j] + gram[:, j, j]
            step = torch.where(bend > 0, -slope / bend.clamp(min=torch.finfo(bend.dtype).tiny), 0.0)
            low = torch.maximum(-weights[:, i], weights[:, j] - cap)
            high = torch.minimum(cap - weights[:, i], weights[:, j])
            step = torch.minimum(torch.maximum(step, low), high)
            weights[:, i] += step
            weights[:, j] -= step
    return weights
