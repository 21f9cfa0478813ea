"""TMKD: a first stage on soft labels alone, then hard labels and every teacher by itself.

Source: Yang et al. 2020 (two-stage multi-teacher distillation); cited by S0 for U-Ensemble.
Formula: first (1/K)·Σ_k MSE(z_k, z_s) on every row, then (1 − α)·CE + α·(1/K)·Σ_k D_k,
    D_k = MSE(z_k, z_s), or T²·KL(softmax(z_k/T) ‖ softmax(z_s/T)) with `kd_term: kl`.
Needs: logits of K ≥ 2 teachers, cached.
Refuses: fewer than two teachers, other class counts; `heads: multi`, see below.
Defaults: D = MSE and one head (public code of GLMKD), α = 0.5 as `kd`, one epoch of the first stage (our choice).
Differs from the source: the first stage reads the task's own rows, labelled or not, not a larger text like it. That
    code weighs CE 1/K and the mean D 1; here α weighs D (D5). With `heads: multi` each teacher would have a head of its
    own beside the gold one, and the prediction would be the mean of all heads' probabilities: an exported student has
    one head, so this is refused.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from kdray.methods.contract import Method, Phase, Step, Term, Terms
from kdray.methods.losses import Direction, Logits, kd_rows, log_probs, mse_rows


class TMKD(Method):
    """Every teacher's logits by themselves, without an ensemble.

    Attributes:
        alpha: Weight of the second stage's KD term, 0 to 1; the hard labels get 1 − alpha.
        kd_term: The second stage's D: `mse` between logits (temperature, T² and direction are then refused), or `kl`.
        temperature: Softens the distributions of `kl`; above 0.
        first_epochs: Of the first stage, in addition to the run's epochs; 0 leaves it out.
        heads: `shared` compares the student's one head with every teacher; `multi` is refused.
    """

    title: ClassVar[str] = "TMKD"
    source: ClassVar[str] = "Yang et al. 2020; S0 (cited for U-Ensemble)"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["tmkd"] = "tmkd"  # pyright: ignore[reportIncompatibleVariableOverride]
    alpha: float = Field(default=0.5, ge=0, le=1)
    kd_term: Literal["mse", "kl"] = "mse"
    temperature: float = Field(default=5.0, gt=0)
    t2_scaling: bool = True
    direction: Direction = "forward"
    first_epochs: int = Field(default=1, ge=0)
    heads: Literal["shared", "multi"] = "shared"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "TMKD":
        if self.heads == "multi":
            raise ValueError(
                "heads = multi predicts with the mean of K + 1 heads, but an exported student has one; set heads=shared"
            )
        if self.kd_term == "mse":
            self.refuse_idle(("temperature", "t2_scaling", "direction"), because="kd_term is mse")
        if not self.alpha:
            self.refuse_idle(("kd_term",), because="alpha is 0")
        return self

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        first = TMKD(alpha=1.0)
        both = (
            Phase("soft labels", first, self.first_epochs, schedule="soft labels", scored=False),
            Phase("all labels", self, epochs),
        )
        return both if self.first_epochs else both[1:]

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha}

    def terms(self, step: Step) -> Terms:
        heads = [step.student.logits] * len(step.teachers)
        term = Term(self.distance_rows([teacher.logits for teacher in step.teachers], heads))
        return Terms({"kd": term}, queries={"teacher": term.covered()})

    def distance_rows(self, teachers: Sequence[Logits], heads: Sequence[Logits]) -> Float[Tensor, " batch"]:
        """(1/K)·Σ_k D_k, of teacher k and the student's head that listens to it."""
        return torch.stack([self._distance(z, head) for z, head in zip(teachers, heads, strict=True)]).mean(0)

    def _distance(self, teacher: Logits, student: Logits) -> Float[Tensor, " batch"]:
        if self.kd_term == "mse":
            return mse_rows(teacher, student)
        return kd_rows(
            log_probs(teacher, self.temperature),
            student,
            temperature=self.temperature,
            t2_scaling=self.t2_scaling,
            direction=self.direction,
            reduction="batchmean",
        )
