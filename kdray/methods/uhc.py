"""UHC: one student of all classes out of teachers of some, by slicing the student's distribution.

Source: Vongkulbhisal et al. 2019 (its cross-entropy variant); a baseline of S1 Table 3.
Formula: (1 − α)·CE + α·T²·Σ_k KL(softmax(z_k/T) ‖ softmax(z_s[Y_k]/T)), Y_k the classes that teacher k scores.
    `ki_shared`: every Y_k is all classes, a sum of plain KDs. `ki_split`: subsets and α = 1, no gold labels.
Needs: logits of K ≥ 2 teachers, cached.
Refuses: fewer than two teachers; subsets that leave a class out; subsets with gold labels (α below 1).
Defaults: T = 5 and a sum over teachers (public code of MUKI), α = 0.5 (our choice: S1 gives none), T² on (D2).
Differs from the source: softmax over the sliced logits, which is the renormalized slice of the student's
    probabilities; the matrix factorizations of the paper are not built (S1 does not use them); subsets may overlap.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator

from kdray.methods.contract import Batch, LossTerm, MethodOutput, TeacherStudent, all_asked
from kdray.methods.integration import check_gold_labels, classes_of
from kdray.methods.losses import log_probs
from kdray.methods.soft_labels import SoftTargets


class UHC(SoftTargets):
    """Each teacher is compared with the student's distribution over that teacher's classes.

    Attributes:
        alpha: Weight of the KD term, 0 to 1; the hard labels get 1 − alpha.
    """

    title: ClassVar[str] = "UHC"
    source: ClassVar[str] = "Vongkulbhisal et al. 2019; S1 Table 3"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None
    allows_class_subsets: ClassVar[bool] = True

    name: Literal["uhc"] = "uhc"  # pyright: ignore[reportIncompatibleVariableOverride]
    alpha: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "UHC":
        if not self.alpha:
            self.refuse_idle(("temperature", "t2_scaling", "direction"), because="alpha is 0")
        return self

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        check_gold_labels(self.name, pair, alpha=self.alpha)

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha}

    def terms(self, step: Batch) -> MethodOutput:
        parts = [
            self.kl(log_probs(teacher.logits, self.temperature), step.student.logits[:, classes])
            for teacher, classes in zip(step.teachers, classes_of(step), strict=True)
        ]
        term = LossTerm(torch.stack(parts).sum(0))
        return MethodOutput({"kd": term}, queries=all_asked(step, term))
