"""MiniLM: the attention of the last layer and the relations between its values; then fine-tuning.

Source: Wang et al. 2020; S1 §2, S2 §2.2.
Formula: L_AT + L_VR, each the mean over heads and tokens of KL(teacher ‖ student), of softmax(Q·Kᵀ/√d_h) and of
    softmax(V·Vᵀ/√d_h); then mean CE(z_s, y).
Needs: queries, keys and values of the last layer of one teacher, online, in the first phase; nothing in the second.
Refuses: other numbers of heads, another tokenizer, several teachers, other class counts. Widths may differ.
Defaults: as many epochs of relations as of fine-tuning, at the run's learning rate (our choices: not given).
Differs from the source: it reads unlabeled text with a pre-trained teacher, here both phases read the task's rows and
    the teacher is fine-tuned on the task; tokens are averaged within a row, then rows.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, Method, MethodOutput, Phase, Status, TeacherStudent
from kdray.methods.finetune import FineTune
from kdray.methods.relations import last_layer, real_tokens, relation_rows
from kdray.signals import Need


class Heads(nn.Module):
    """How many attention heads queries, keys and values are cut into; nothing to train."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class MiniLM(Method):
    """Copies how the last layer attends, whatever the student's width, and learns from the labels afterwards.

    Attributes:
        relation_epochs: Of the first phase, in addition to the run's epochs; None is as many as these.
    """

    title: ClassVar[str] = "MiniLM"
    source: ClassVar[str] = "Wang et al. 2020; S1 §2; S2 §2.2"
    status: ClassVar[Status] = "task variant"
    access: ClassVar[str] = "online"

    name: Literal["minilm"] = "minilm"  # pyright: ignore[reportIncompatibleVariableOverride]
    relation_epochs: int | None = Field(default=None, ge=1, le=1000)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"qkv_last"})

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        return (
            Phase("relations", self, self.relation_epochs or epochs, schedule="relations", scored=False),
            Phase("fine-tuning", FineTune(), epochs),
        )

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        teacher, student = pair.teachers[0], pair.student
        if teacher.heads != student.heads:
            raise ConfigError(
                f"method minilm compares attention head by head: {teacher.name} has {teacher.heads} heads, the student "
                f"{student.heads}; take minilmv2."
            )

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        return Heads(pair.student.heads)

    def weights(self) -> dict[str, float]:
        return {"hard": 0.0, "attention": 1.0, "values": 1.0}

    def terms(self, step: Batch) -> MethodOutput:
        assert isinstance(step.adapters, Heads)
        teacher, student = (x.unbind(1) for x in last_layer(step))
        terms = {
            name: LossTerm(
                relation_rows(
                    (teacher[one], teacher[other]),
                    (student[one], student[other]),
                    real_tokens(step),
                    heads=step.adapters.number,
                )
            )
            for name, one, other in (("attention", 0, 1), ("values", 2, 2))
        }
        return MethodOutput(terms, queries={"teacher": terms["values"].covered()})
