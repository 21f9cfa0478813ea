"""DistilBERT's triple loss, for a task: soft labels, hard labels, and the direction of the last hidden states.

Source: Sanh et al. 2019; S1 §2, S2.
Formula: 5·T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)) + 2·CE + 1·mean over real tokens of (1 − cos(H_s,L, H_t,L)).
Needs: logits and hidden states of one teacher, online; logits alone, cached, without the cosine.
Refuses: another tokenizer than the student's, several teachers, other class counts.
Defaults: weights 5, 2, 1 and T = 2 (the authors' code).
Differs from the source: class logits and CE where it has those of masked language modeling; tokens are averaged within
    a row, then rows, where it averages all tokens of a batch; widths that differ get a bias-free projection on the
    student's side (D14); token types and the pooler stay, and the layers that the student starts from are
    `student.init`, where it copies the layers 0, 2, 4, 7, 9, 11 of 12.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.methods.contract import Batch, LossTerm, MethodOutput, Status, TeacherStudent
from kdray.methods.layers import projected, student_projection, token_mean
from kdray.methods.losses import log_probs, unit, wide
from kdray.methods.soft_labels import SoftTargets
from kdray.signals import Need


class DistilBERT(SoftTargets):
    """Soft labels, hard labels and the cosine of the last hidden states.

    Attributes:
        kd_weight: Of the soft labels.
        hard_weight: Of the hard labels.
        cos_weight: Of the cosine; 0 needs logits only.
    """

    title: ClassVar[str] = "DistilBERT (task)"
    source: ClassVar[str] = "Sanh et al. 2019; S1 §2; class logits in place of MLM"
    status: ClassVar[Status] = "task variant"
    access: ClassVar[str] = "online"

    name: Literal["distilbert"] = "distilbert"  # pyright: ignore[reportIncompatibleVariableOverride]
    temperature: float = Field(default=2.0, gt=0, le=1000)
    kd_weight: float = Field(default=5.0, ge=0, le=1e6)
    hard_weight: float = Field(default=2.0, ge=0, le=1e6)
    cos_weight: float = Field(default=1.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _learns_to_classify(self) -> "DistilBERT":
        if not self.kd_weight:
            self.refuse_idle(("temperature", "t2_scaling", "direction"), because="kd_weight is 0")
        if not self.kd_weight and not self.hard_weight:
            raise ValueError("kd_weight and hard_weight are both 0, so nothing would train the classifier")
        return self

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "hidden"}) if self.cos_weight else frozenset({"logits"})

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        return student_projection(pair) if self.cos_weight else nn.ModuleDict()

    def weights(self) -> dict[str, float]:
        names = {"hard": self.hard_weight, "kd": self.kd_weight}
        return names | ({"cosine": self.cos_weight} if self.cos_weight else {})

    def terms(self, step: Batch) -> MethodOutput:
        rows = self.kl(log_probs(step.teachers[0].logits, self.temperature), step.student.logits)
        terms = {"kd": LossTerm(rows)}
        if self.cos_weight:
            terms["cosine"] = LossTerm(_cosine_rows(step))
        return MethodOutput(terms, queries={"teacher": terms["kd"].covered()})


def _cosine_rows(step: Batch) -> Float[Tensor, " batch"]:
    """1 − cosine of the last hidden states, averaged over a row's real tokens."""
    student, teacher, mask = step.student.hidden, step.teachers[0].hidden, step.student.mask
    assert student is not None
    assert teacher is not None
    assert mask is not None
    ours, theirs = unit(projected(step.adapters, student[:, -1:])), unit(wide(teacher[:, -1:]))
    return token_mean(1 - (ours * theirs).sum(-1), mask).squeeze(1)
