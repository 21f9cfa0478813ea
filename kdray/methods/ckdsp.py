"""CKD-SP: several teachers, and a student that reads what sentence pruning left of the text.

Source: S0, the whole method (eq. 1 and 6, §3.2, §4.3).
Formula: (1 − α)·CE + α·T²·KL(P_ens ‖ softmax(z_s/T)) + η·(1 − cos(W·h_s, mean_k E_k)); P_ens by `combine_teachers`;
    h_s, E_k: mean-pooled vectors of the student's and of teacher k's text.
Needs: logits of K ≥ 2 teachers, cached; mean-pooled sentence vectors with η or `rlkd`. What is pruned is decided by the
    run's `prune` section: teachers read whole texts, the student the pruned ones.
Refuses: fewer than two teachers, other class counts; η with teachers of several widths, which have no mean vector;
    settings of another way to combine.
Defaults: T = 5, α = 0.5 as `kd`; `combine_teachers: u` and η = 0 (our choice: S0's §3 has no policy and its "sentence
    representation learning" no formula); one epoch with the average ensemble first (S0 §4.2, length not given).
Differs from the source: the η term compares whole rows with what was kept of them, not sentence by sentence; W only
    where widths differ (D14).
"""

import dataclasses
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from kdray.errors import ConfigError
from kdray.methods.contract import (
    Batch,
    LossTerm,
    Method,
    MethodOutput,
    MethodState,
    Phase,
    PriorOutputs,
    Probe,
    Reward,
    Status,
    TeacherStudent,
)
from kdray.methods.ens_u import EnsU
from kdray.methods.ens_w import EnsW
from kdray.methods.losses import unit
from kdray.methods.rlkd import RLKD
from kdray.methods.soft_labels import SoftLabels
from kdray.signals import Need


class CKDSP(SoftLabels):
    """One of the ensembles, and a pull towards the teachers' view of the text.

    Attributes:
        combine_teachers: Equal weights (`u`), by accuracy (`w`), or chosen for each row by a policy (`rlkd`).
        combine: Average probabilities (`prob`) or logits (`logit`).
        reward_number: Of the policy, as in `rlkd`.
        gamma: In reward 3, as in `rlkd`.
        ensemble_epochs: The student first learns from the plain average, in addition to the run's epochs.
        eta: Weight of the term between sentence vectors.
    """

    title: ClassVar[str] = "CKD-SP (ensemble on pruned text)"
    source: ClassVar[str] = "S0"
    status: ClassVar[Status] = "gaps filled"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["ckdsp"] = "ckdsp"  # pyright: ignore[reportIncompatibleVariableOverride]
    combine_teachers: Literal["u", "w", "rlkd"] = "u"
    combine: Literal["prob", "logit"] = "prob"
    reward_number: Literal[1, 2, 3] = 2
    gamma: float = Field(default=0.5, gt=0, lt=1)
    ensemble_epochs: int = Field(default=1, ge=0, le=1000)
    eta: float = Field(default=0.0, ge=0, le=1e6, examples=[0.1])

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "CKDSP":
        if self.combine_teachers == "rlkd":
            self.refuse_idle(("combine",), because="the policy's teachers are not averaged")
        else:
            self.refuse_idle(("reward_number", "gamma"), because="combine_teachers is not rlkd")
        if self.reward_number != 3:
            self.refuse_idle(("gamma",), because=f"reward_number is {self.reward_number}")
        return self

    @property
    def needs(self) -> frozenset[Need]:
        vectors: frozenset[Need] = frozenset({"sent_emb"} if self.eta else ())
        return self._ensemble().needs | vectors

    @property
    def reward(self) -> Reward | None:
        return self._ensemble().reward

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        widths = sorted({teacher.width for teacher in pair.teachers})
        if self.eta and len(widths) > 1:
            shown = " and ".join(map(str, widths))
            raise ConfigError(f"method ckdsp: method.eta averages vectors of teachers, but their widths are {shown}.")

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        if self.combine_teachers == "rlkd":
            policy = self._ensemble()
            turns = policy.phases(epochs)
            return tuple(dataclasses.replace(turn, method=self) if turn.method == policy else turn for turn in turns)
        average = EnsU(combine=self.combine, **self._soft())
        start = Phase("ensemble", average, self.ensemble_epochs, schedule="ensemble", scored=False)
        return (*([start] if self.ensemble_epochs else []), Phase(self.name, self, epochs))

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        adapters = self._ensemble().adapters(pair)
        student, teacher = pair.student.width, pair.teachers[0].width
        if self.eta and student != teacher:
            project = nn.Linear(student, teacher, bias=False)
            nn.init.normal_(project.weight, std=0.02)
            adapters.add_module("project", project)
        return adapters

    def prepare(self, evidence: PriorOutputs) -> MethodState:
        return self._ensemble().prepare(evidence)

    def learn(self, step: Batch, output: MethodOutput, probe: Probe) -> None:
        self._ensemble().learn(step, output, probe)

    def weights(self) -> dict[str, float]:
        return self._ensemble().weights() | ({"sentences": self.eta} if self.eta else {})

    def terms(self, step: Batch) -> MethodOutput:
        output = self._ensemble().terms(step)
        if not self.eta:
            return output
        return dataclasses.replace(output, terms={**output.terms, "sentences": _sentences(step)})

    def _ensemble(self) -> Method:
        if self.combine_teachers == "u":
            return EnsU(combine=self.combine, **self._soft())
        if self.combine_teachers == "w":
            return EnsW(combine=self.combine, **self._soft())
        return RLKD(
            reward_number=self.reward_number, gamma=self.gamma, ensemble_epochs=self.ensemble_epochs, **self._soft()
        )

    def _soft(self) -> dict[str, Any]:
        return self.model_dump(include={"temperature", "alpha", "t2_scaling", "direction", "reduction"})


def _sentences(step: Batch) -> LossTerm:
    """1 − cos between the student's vector, projected if need be, and the teachers' average."""
    student = step.student.sent_emb
    assert student is not None
    if "project" in dict(step.adapters.named_children()):
        student = step.adapters.get_submodule("project")(student)
    student = student.to(torch.promote_types(student.dtype, torch.float32))
    known = [teacher.sent_emb for teacher in step.teachers if teacher.sent_emb is not None]
    target = torch.stack(known).to(student.dtype).mean(0)
    return LossTerm(1 - (unit(student) * unit(target)).sum(-1))
