"""MUKI: teachers merged row by row, by how certain each is.

Source: Li et al. 2022 (MUKI); a baseline of S1 Table 3.
Formula: (1 − α)·CE + α·c·KL(P ‖ softmax(z_s)), m_k = 1 − H(p̄_k)/log|Y_k|, p_k = softmax(z_k) padded with zeros, and
    p̄_k the mean of `mc` passes with dropout (`mc: 0`: p̄_k = p_k).
    `soft`: P = Σ_k softmax(m/0.2)_k·p_k. `hard`: P = p of the largest m.
    c = m₍₁₎ − m₍₂₎ + 1e-6, the two largest, or 1 without `reweight`.
    `ki_shared`: every Y_k is all classes. `ki_split`: subsets and α = 1, no gold labels.
Needs: logits of K ≥ 2 teachers, cached; mean probabilities with dropout, cached, unless `mc` is 0.
Refuses: fewer than two teachers; subsets that leave a class out; subsets with gold labels (α below 1).
Defaults: soft, 0.2, re-weighting on, m_k with dropout (public code of MUKI), α = 0.5 (our choice: S1 gives none),
    10 passes (our choice; the public code has 16: `mc: 16`). Temperature 1, no T².
Differs from the source: dropout decides how certain a teacher is, while the target's p_k come from its plain pass.
"""

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from kdray.methods.contract import Batch, LossTerm, Method, MethodOutput, TeacherStudent, all_asked
from kdray.methods.integration import check_gold_labels, classes_of
from kdray.methods.losses import entropy_rows, kl_rows, log_probs
from kdray.signals import Need, Signals

MARGIN_FLOOR = 1e-6


class MUKI(Method):
    """The more certain a teacher is of a row, the more of the target is its.

    Attributes:
        alpha: Weight of the KD term, 0 to 1; the hard labels get 1 − alpha.
        target: A mixture of all teachers (`soft`), or the most certain one alone (`hard`).
        score_temperature: Of the softmax over teachers; small values are close to `hard`; above 0.
        mc: Passes with dropout that a teacher's certainty is the mean of; 0 takes its one pass without.
        reweight: Rows count by how far the most certain teacher is ahead of the next.
    """

    title: ClassVar[str] = "MUKI"
    source: ClassVar[str] = "Li et al. 2022; S1 Table 3"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None
    allows_class_subsets: ClassVar[bool] = True

    name: Literal["muki"] = "muki"  # pyright: ignore[reportIncompatibleVariableOverride]
    alpha: float = Field(default=0.5, ge=0, le=1)
    target: Literal["soft", "hard"] = "soft"
    score_temperature: float = Field(default=0.2, gt=0, le=1000)
    reweight: bool = True
    mc: int = Field(default=10, ge=0, le=1000)

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "MUKI":
        if not self.alpha:
            self.refuse_idle(("target", "score_temperature", "reweight", "mc"), because="alpha is 0")
        if self.target == "hard":
            self.refuse_idle(("score_temperature",), because="target is hard")
        return self

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        check_gold_labels(self.name, pair, alpha=self.alpha)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "mc_probs"} if self.dropout_passes else {"logits"})

    @property
    def dropout_passes(self) -> int:
        return self.mc if self.alpha else 0

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha}

    def terms(self, step: Batch) -> MethodOutput:
        certainty = torch.stack([certainty_rows(self._log_probs(teacher)) for teacher in step.teachers], dim=1)
        shares = self._shares(certainty)
        target = torch.zeros_like(step.student.logits, dtype=shares.dtype)
        for k, classes in enumerate(classes_of(step)):
            target[:, classes] += shares[:, k : k + 1] * log_probs(step.teachers[k].logits, 1.0).exp()
        rows = kl_rows(target.log(), log_probs(step.student.logits, 1.0))
        if self.reweight:
            best = certainty.topk(2, dim=1).values
            rows = (best[:, 0] - best[:, 1] + MARGIN_FLOOR) * rows
        term = LossTerm(rows)
        return MethodOutput({"kd": term}, queries=all_asked(step, term))

    def _log_probs(self, teacher: Signals) -> Float[Tensor, "batch classes"]:
        if not self.dropout_passes:
            return log_probs(teacher.logits, 1.0)
        assert teacher.mc_probs is not None
        return teacher.mc_probs.log()

    def _shares(self, certainty: Float[Tensor, "batch teachers"]) -> Float[Tensor, "batch teachers"]:
        if self.target == "soft":
            return torch.softmax(certainty / self.score_temperature, dim=1)
        first = torch.sort(certainty, dim=1, descending=True, stable=True).indices[:, 0]  # of equal ones the earlier
        return F.one_hot(first, certainty.shape[1]).to(certainty.dtype)


def certainty_rows(log_p: Float[Tensor, "batch classes"]) -> Float[Tensor, " batch"]:
    """1 for a teacher that is certain of one class, 0 for a uniform output."""
    return 1 - entropy_rows(log_p) / math.log(log_p.shape[1])
