"""Soft labels and all layers first, hard labels later: the weights move with the training.

Source: Ye and Hernandez, in S2 §3.4.
Formula: (1 − β)·(T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)) + Σ_{i=1..L_s} MSE(W·H_s,i, H_t,g(i))) + β·CE, with β = t/T the
    share of the training's steps that are done, and g(i) = ⌊i·L_t/L_s + ½⌋.
Needs: logits and hidden states of one teacher, online; the logits cached.
Refuses: a teacher with fewer layers than the student, another tokenizer, several teachers, other class counts.
Defaults: T = 5 as `kd`; both terms of the teacher weigh the same (our choice: S2 gives no weights).
Differs from the source: S2 names dynamic weights without a formula, and β = t/T is our choice; the squared difference
    is a mean over a row's real tokens and the width, and a sum over layers; W is one bias-free projection on the
    student's side, where widths differ (D14). It was made for tags of words, and works for rows of one class, too.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from kdray.methods.contract import Batch, LossTerm, MethodOutput, Status, TeacherStudent
from kdray.methods.layers import projected, refuse_shallow_teachers, state_rows, student_projection, uniform_layers
from kdray.methods.losses import log_probs
from kdray.methods.soft_labels import SoftTargets
from kdray.signals import Need


class NERDyn(SoftTargets):
    """The teacher's soft labels and hidden states, whose weight falls from 1 to 0, and hard labels, whose weight rises.

    Attributes:
        layer_weight: Of the hidden states beside the soft labels; 0 needs logits only.
    """

    title: ClassVar[str] = "Dynamic weights for NER"
    source: ClassVar[str] = "Ye and Hernandez; S2 §3.4"
    status: ClassVar[Status] = "gaps filled"
    access: ClassVar[str] = "online"

    name: Literal["ner_dyn"] = "ner_dyn"  # pyright: ignore[reportIncompatibleVariableOverride]
    layer_weight: float = Field(default=1.0, ge=0, le=1e6)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "hidden"}) if self.layer_weight else frozenset({"logits"})

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if self.layer_weight:
            refuse_shallow_teachers(self.name, pair)

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        return student_projection(pair) if self.layer_weight else nn.ModuleDict()

    def weights(self) -> dict[str, float]:
        return {"hard": 0.0, "kd": 1.0} | ({"layers": self.layer_weight} if self.layer_weight else {})

    def schedule(self, step: Batch) -> dict[str, float]:
        left = 1 - step.progress
        return {name: weight * left for name, weight in self.weights().items()} | {"hard": step.progress}

    def terms(self, step: Batch) -> MethodOutput:
        terms = {"kd": LossTerm(self.kl(log_probs(step.teachers[0].logits, self.temperature), step.student.logits))}
        if self.layer_weight:
            student, teacher, mask = step.student.hidden, step.teachers[0].hidden, step.student.mask
            assert student is not None
            assert teacher is not None
            assert mask is not None
            wanted = uniform_layers(student.shape[1] - 1, teacher.shape[1] - 1)
            rows = state_rows(projected(step.adapters, student[:, 1:]), teacher[:, list(wanted)], mask)
            terms["layers"] = LossTerm(rows)
        return MethodOutput(terms, queries={"teacher": terms["kd"].covered()})
