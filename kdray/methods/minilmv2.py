"""MiniLMv2: relations within queries, keys and values of one layer, in heads of any number; then fine-tuning.

Source: Wang et al. 2021; S1 §2, S2 §2.2.
Formula: for each of X = Q, K, V, heads joined and cut again into A_r relation heads: the mean over heads and tokens of
    KL(teacher ‖ student) of softmax(X·Xᵀ/√(d/A_r)); their sum, 1:1:1; then mean CE(z_s, y).
Needs: queries, keys and values of the last layer of one teacher (of every layer, with `teacher_layer`), online, in the
    first phase; nothing in the second.
Refuses: relation heads that do not divide both widths, a layer that the teacher does not have, another tokenizer,
    several teachers, other class counts. Numbers of attention heads and widths may differ.
Defaults: 48 relation heads (the paper, for models of 768; 64 for 1024), fewer where both widths cannot be cut so; the
    teacher's last layer (the paper, for base models; of a large one 21 of 24: `teacher_layer`); as many epochs of
    relations as of fine-tuning, at the run's learning rate (our choices: not given).
Differs from the source: it reads unlabeled text with a pre-trained teacher, here both phases read the task's rows and
    the teacher is fine-tuned on the task; tokens are averaged within a row, then rows.
"""

import math
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, Method, MethodOutput, Phase, Status, TeacherStudent
from kdray.methods.finetune import FineTune
from kdray.methods.relations import last_layer, real_tokens, relation_rows
from kdray.signals import Need

RELATION_HEADS, RELATION_HEADS_OF_LARGE = 48, 64  # the latter for teachers of width 1024 and more


class MiniLMv2(Method):
    """Copies how queries, keys and values of one layer relate, and learns from the labels afterwards.

    Attributes:
        relation_heads: How many parts the widths are cut into; None is 48 (64 for a teacher of width 1024), or the next
            number below it that divides both widths.
        teacher_layer: The teacher's layer that the student's last one copies, counted from 1; None is its last.
        relation_epochs: Of the first phase, in addition to the run's epochs; None is as many as these.
    """

    title: ClassVar[str] = "MiniLMv2"
    source: ClassVar[str] = "Wang et al. 2021; S1 §2; S2 §2.2"
    status: ClassVar[Status] = "task variant"
    access: ClassVar[str] = "online"

    name: Literal["minilmv2"] = "minilmv2"  # pyright: ignore[reportIncompatibleVariableOverride]
    relation_heads: int | None = Field(default=None, ge=1, le=1024, examples=[2])
    teacher_layer: int | None = Field(default=None, ge=1, le=1000, examples=[4])
    relation_epochs: int | None = Field(default=None, ge=1, le=1000)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"qkv" if self.teacher_layer else "qkv_last"})

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        return (
            Phase("relations", self, self.relation_epochs or epochs, schedule="relations", scored=False),
            Phase("fine-tuning", FineTune(), epochs),
        )

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        teacher = pair.teachers[0]
        if self.teacher_layer and self.teacher_layer > teacher.layers:
            raise ConfigError(
                f"method.teacher_layer = {self.teacher_layer}, but {teacher.name} has {teacher.layers} layers."
            )
        widths = (teacher.width, pair.student.width)
        if self.relation_heads and any(width % self.relation_heads for width in widths):
            raise ConfigError(
                f"method.relation_heads = {self.relation_heads} does not divide both widths, the teacher's {widths[0]} "
                f"and the student's {widths[1]}; leave it out for {most_heads(*widths)}."
            )

    def weights(self) -> dict[str, float]:
        return {"hard": 0.0, "queries": 1.0, "keys": 1.0, "values": 1.0}

    def terms(self, step: Batch) -> MethodOutput:
        teacher, student = self._copied(step)
        heads = self.relation_heads or most_heads(teacher.shape[-1], student.shape[-1])
        terms = {
            name: LossTerm(relation_rows((theirs, theirs), (ours, ours), real_tokens(step), heads=heads))
            for name, theirs, ours in zip(
                ("queries", "keys", "values"), teacher.unbind(1), student.unbind(1), strict=True
            )
        }
        return MethodOutput(terms, queries={"teacher": terms["values"].covered()})

    def _copied(self, step: Batch) -> tuple[Tensor, Tensor]:
        """Queries, keys and values that are compared: the teacher's, the student's."""
        if not self.teacher_layer:
            return last_layer(step)
        teacher, student = step.teachers[0].qkv, step.student.qkv
        assert teacher is not None
        assert student is not None
        return teacher[:, self.teacher_layer - 1], student[:, -1]


def most_heads(teacher: int, student: int) -> int:
    """The largest number up to 48, or 64 for a large teacher, that divides both widths."""
    common, most = math.gcd(teacher, student), RELATION_HEADS_OF_LARGE if teacher >= 1024 else RELATION_HEADS
    return max(heads for heads in range(1, most + 1) if common % heads == 0)
