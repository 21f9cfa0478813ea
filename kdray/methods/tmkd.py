"""TMKD: a first stage on soft labels alone, then hard labels and every teacher by itself.

Source: Yang et al. 2020 (two-stage multi-teacher distillation); cited by S0 for U-Ensemble.
Formula: first (1/K)·Σ_k MSE(z_k, z_s) on every row, then (1 − α)·CE + α·(1/K)·Σ_k D_k,
    D_k = MSE(z_k, z_s), or T²·KL(softmax(z_k/T) ‖ softmax(z_s/T)) with `kd_term: kl`.
    With `heads: multi`, D_k compares teacher k with a head k of its own on the student's last [CLS] vector, and the
    student's classifier, head 0, learns from gold labels alone.
Needs: logits of K ≥ 2 teachers, cached; with `heads: multi` [CLS] vectors, of which only the student's are read.
Refuses: fewer than two teachers, other class counts; `heads: multi` without hard labels.
Defaults: D = MSE and one head (public code of GLMKD), α = 0.5 as `kd`, one epoch of the first stage (our choice).
Differs from the source: the first stage reads the task's own rows, labeled or not, not a larger text like it. That
    code weighs CE 1/K and the mean D 1; here α weighs D (D5). With `heads: multi` the paper predicts with the mean of
    all heads' probabilities; an exported student is an ordinary classifier with one head, so here head 0 predicts, in
    every score too, and the teachers' heads shape the encoder and are dropped.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.methods.contract import Batch, LossTerm, MethodOutput, Phase, Status, TeacherStudent, all_asked
from kdray.methods.layers import map_vectors
from kdray.methods.losses import Logits, log_probs, mse_rows
from kdray.methods.soft_labels import SoftTargets
from kdray.signals import Need

HEAD_STD = 0.02


class TMKD(SoftTargets):
    """Every teacher's logits by themselves, without an ensemble.

    Attributes:
        alpha: Weight of the second stage's KD term, 0 to 1; the hard labels get 1 − alpha.
        kd_term: The second stage's D: `mse` between logits (temperature, T² and direction are then refused), or `kl`.
        temperature: Softens the distributions of `kl`; above 0.
        first_epochs: Of the first stage, in addition to the run's epochs; 0 leaves it out.
        heads: `shared` compares the student's one head with every teacher; `multi` gives each teacher one of its own.
    """

    title: ClassVar[str] = "TMKD"
    source: ClassVar[str] = "Yang et al. 2020; S0 (cited for U-Ensemble)"
    status: ClassVar[Status] = "gaps filled"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["tmkd"] = "tmkd"  # pyright: ignore[reportIncompatibleVariableOverride]
    alpha: float = Field(default=0.5, ge=0, le=1)
    kd_term: Literal["mse", "kl"] = "mse"
    first_epochs: int = Field(default=1, ge=0, le=1000)
    heads: Literal["shared", "multi"] = "shared"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "TMKD":
        if self.kd_term == "mse":
            self.refuse_idle(("temperature", "t2_scaling", "direction"), because="kd_term is mse")
        if not self.alpha:
            self.refuse_idle(("kd_term",), because="alpha is 0")
        if not self.alpha and not self.first_epochs:
            self.refuse_idle(("heads",), because="alpha and first_epochs are 0")
        if self.heads == "multi" and self.alpha == 1:
            raise ValueError("heads = multi with alpha = 1: nothing would train the classifier that is exported")
        return self

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "cls"} if self.heads == "multi" else {"logits"})

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        first = TMKD().model_copy(update={"alpha": 1.0, "heads": self.heads})  # gold labels come in the second stage
        both = (
            Phase("soft labels", first, self.first_epochs, schedule="soft labels", scored=False),
            Phase("all labels", self, epochs),
        )
        return both if self.first_epochs else both[1:]

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        if self.heads == "shared":
            return nn.ModuleDict()
        return nn.ModuleList(head(pair.student.width, pair.student.classes) for _ in pair.teachers)

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha}

    def terms(self, step: Batch) -> MethodOutput:
        term = LossTerm(self.distance_rows([teacher.logits for teacher in step.teachers], self._heads(step)))
        return MethodOutput({"kd": term}, queries=all_asked(step, term))

    def _heads(self, step: Batch) -> list[Logits]:
        """The student's logits for each teacher."""
        if self.heads == "shared":
            return [step.student.logits] * len(step.teachers)
        assert step.student.cls is not None
        vectors = step.student.cls[:, -1]
        return [map_vectors(linear, vectors) for linear in step.adapters.children()]

    def distance_rows(self, teachers: Sequence[Logits], heads: Sequence[Logits]) -> Float[Tensor, " batch"]:
        """(1/K)·Σ_k D_k, of teacher k and the student's head for it."""
        return torch.stack([self._distance(z, head) for z, head in zip(teachers, heads, strict=True)]).mean(0)

    def _distance(self, teacher: Logits, student: Logits) -> Float[Tensor, " batch"]:
        if self.kd_term == "mse":
            return mse_rows(teacher, student)
        return self.kl(log_probs(teacher, self.temperature), student)


def head(width: int, classes: int) -> nn.Linear:
    """A classifier of one layer, drawn as encoders draw theirs: normal with standard deviation 0.02, no bias yet."""
    linear = nn.Linear(width, classes)
    nn.init.normal_(linear.weight, std=HEAD_STD)
    nn.init.zeros_(linear.bias)
    return linear
