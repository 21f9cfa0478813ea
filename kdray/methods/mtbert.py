"""MT-BERT: soft labels weighed by how well each teacher does on a row, and the teachers' states.

Stage 1 makes the teachers: the paper fine-tunes them together under one shared head, which is the run's
`teacher_training: joint`; with `separate` they are fine-tuned one by one, as for every method. This file is stage 2.

Source: Wu et al. 2021; S0 Table 4.
Formula: L_dis + L_hid + CE, with L_dis = mean_b Σ_k −Σ_c softmax(z_k/T)_c·log softmax(z_s/T)_c / (1 + CE_b(z_k, y)) and
    L_hid = Σ_k Σ_i MSE(H_s,i, W_k·H_k,g(i)), i = 1..L_s, g(i) = ⌊i·L_k/L_s + ½⌋.
Needs: logits and hidden states of K ≥ 2 teachers, online; `tokens: cls` logits and [CLS] vectors, cached.
Refuses: fewer than two teachers, a teacher with fewer layers than the student, with all tokens another tokenizer,
    other class counts.
Defaults: weights 1, T = 1, W_k on the teacher's side, all tokens (a public implementation).
Differs from the source: an unlabeled row weighs a teacher by the cross-entropy that the teacher
    expects of itself, its entropy (our choice: not given); tokens are averaged within a row, then rows.
    W_k can shrink to 0 and the student's states with it: the term `mapped`, of weight 0, is the mean length of W_k·H_k.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from kdray.methods.contract import Batch, LossTerm, Method, MethodOutput, Status, TeacherStudent, all_asked
from kdray.methods.layers import (
    map_vectors,
    projection,
    refuse_shallow_teachers,
    state_rows,
    token_mean,
    uniform_layers,
)
from kdray.methods.losses import cross_entropy_rows, entropy_rows, log_probs, soft_cross_entropy_rows, wide
from kdray.signals import Need, Signals

States = Float[Tensor, "batch layers tokens width"]


class MTBERT(Method):
    """Several teachers' soft labels by reliability, and their hidden states through a map each.

    Attributes:
        temperature: Of the soft labels; above 0. The weights are always taken at 1.
        tokens: Compare the states of `all` tokens or of [CLS].
        fit: The side that each teacher's map is on. On the teacher's, both may shrink together.
    """

    title: ClassVar[str] = "MT-BERT"
    source: ClassVar[str] = "Wu et al. 2021; S0 Table 4 (stage 1: `teacher_training=joint`)"
    status: ClassVar[Status] = "gaps filled"
    access: ClassVar[str] = "online"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["mtbert"] = "mtbert"  # pyright: ignore[reportIncompatibleVariableOverride]
    temperature: float = Field(default=1.0, gt=0, le=1000)
    tokens: Literal["all", "cls"] = "all"
    fit: Literal["teacher", "student"] = "teacher"

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "hidden" if self.tokens == "all" else "cls"})

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        refuse_shallow_teachers(self.name, pair)

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        ours = pair.student.width
        widths = [(t.width, ours) if self.fit == "teacher" else (ours, t.width) for t in pair.teachers]
        return nn.ModuleList(projection(narrow, into) for narrow, into in widths)

    def weights(self) -> dict[str, float]:
        names = {"hard": 1.0, "soft": 1.0, "layers": 1.0}
        return names | ({"mapped": 0.0} if self.fit == "teacher" else {})

    def terms(self, step: Batch) -> MethodOutput:
        soft = [self._soft_rows(step, teacher) for teacher in step.teachers]
        ours, mask = self._states(step.student)
        pairs = [self._mapped_states(step, number, ours) for number in range(len(step.teachers))]
        terms = {
            "soft": LossTerm(torch.stack(soft).sum(0)),
            "layers": LossTerm(torch.stack([state_rows(*pair, mask) for pair in pairs]).sum(0)),
        }
        if self.fit == "teacher":
            terms["mapped"] = LossTerm(_mean_length([theirs.detach() for _, theirs in pairs], mask))
        return MethodOutput(terms, queries=all_asked(step, terms["soft"]))

    def _soft_rows(self, step: Batch, teacher: Signals) -> Float[Tensor, " batch"]:
        target = log_probs(teacher.logits, self.temperature)
        rows = soft_cross_entropy_rows(target, step.student.logits, temperature=self.temperature)
        return rows * reliability(teacher.logits, step.labels)

    def _states(self, signals: Signals) -> tuple[States, Bool[Tensor, "batch tokens"]]:
        """Those of the embeddings and every layer, and which tokens are real; [CLS] vectors are rows of one token."""
        if self.tokens == "cls":
            assert signals.cls is not None
            return signals.cls.unsqueeze(2), torch.ones_like(signals.cls[:, :1, 0], dtype=torch.bool)
        assert signals.hidden is not None
        assert signals.mask is not None
        return signals.hidden, signals.mask

    def _mapped_states(self, step: Batch, number: int, ours: States) -> tuple[States, States]:
        """The student's layers and those of a teacher that they copy, one of the two mapped to the other's width."""
        theirs, _ = self._states(step.teachers[number])
        wanted = uniform_layers(ours.shape[1] - 1, theirs.shape[1] - 1)
        linear = step.adapters.get_submodule(str(number))
        if self.fit == "teacher":
            return ours[:, 1:], map_vectors(linear, theirs[:, list(wanted)])
        return map_vectors(linear, ours[:, 1:]), theirs[:, list(wanted)]


def reliability(teacher: Float[Tensor, "batch classes"], labels: Tensor) -> Float[Tensor, " batch"]:
    """1 / (1 + the teacher's cross-entropy on a row): 1 for a teacher that is sure and right."""
    expected = entropy_rows(log_probs(teacher, 1.0))
    return 1 / (1 + torch.where(labels >= 0, cross_entropy_rows(teacher, labels), expected))


def _mean_length(every: Sequence[States], mask: Bool[Tensor, "batch tokens"]) -> Float[Tensor, " batch"]:
    lengths = [token_mean(wide(states).norm(dim=-1), mask).mean(-1) for states in every]
    return torch.stack(lengths).mean(0)
