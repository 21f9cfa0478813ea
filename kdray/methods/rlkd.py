"""RL-KD: a policy learns which teachers to use for each row.

Source: Yuan et al. 2021; S0 §4.3 and Table 4.
Formula: (1 − α)·CE + α·mean_x mean_{k chosen for x} KD_k(x). Teacher k is chosen with probability
    π_k = σ(A_k·s_k + b_k), s_k = [F(x); softmax(z_k); CE_k(x)]; where none is, the one of largest π.
    A += η·(r − r̄)·Σ_x ∇log π(a_k | s_k)/B, b likewise, r̄ an average of past rewards (0.9 old, 0.1 new).
    Rewards: 1: −CE; 2: −CE − KD; 3: γ(−CE − KD) + (1 − γ)·accuracy on held-out training rows.
Needs: logits of K ≥ 2 teachers, the first one's mean-pooled sentence vector (or the student's own); all cached.
Refuses: fewer than two teachers, other class counts; settings of reward 3 without it.
Defaults: T = 10, α = 0.5 (Yuan et al.); γ = 0.5 of S0's grid; η = 1e-3, one epoch of each pre-training (our choice);
    reward 2: the student stands still while the policy learns, and of its losses only KD depends on what was chosen.
Differs from the source: F is the first teacher's vector, standardized, not an extra model's [CLS]. Policy pre-training
    samples choices, under the student that the whole ensemble has taught. With reward 1 the expected update is 0, as
    no choice changes the CE of a student that stands still: that policy drifts. The accuracy of reward 3 is the same
    for a whole episode, so that r̄ takes it away. A and b start at 0. The student's dropout is on while the
    policy learns.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from kdray.methods.contract import (
    Batch,
    LossTerm,
    MethodOutput,
    Phase,
    Probe,
    Reward,
    Status,
    TeacherStudent,
    all_asked,
)
from kdray.methods.ens_u import EnsU
from kdray.methods.losses import cross_entropy_rows, log_probs
from kdray.methods.policy import (
    Policy,
    SelectionLogits,
    States,
    log_odds_gradient,
    policy_states,
    reward_of,
    sample_teachers,
    selected_teachers,
)
from kdray.methods.soft_labels import SoftLabels
from kdray.signals import Need

HELD_OUT = 0.1  # of the training rows, for reward 3


class RLKD(SoftLabels):
    """Student and policy take turns by epochs, after a start with all teachers.

    Attributes:
        reward_number: What the policy is rewarded for, see Formula.
        gamma: Weight of the losses against the accuracy in reward 3, in (0, 1).
        episode_steps: The accuracy of reward 3 is measured again after so many steps, and in every epoch.
        policy: Each agent sees its own teacher (`per_teacher`), or the outputs of all of them (`joint`).
        sentence: Whose vector of the text is F: the first `teacher`'s or the `student`'s.
        policy_rate: η.
        ensemble_epochs: The student first learns from the average of all teachers, in addition to the run's epochs.
        policy_epochs: Then the policy learns alone.
    """

    title: ClassVar[str] = "RL-KD"
    source: ClassVar[str] = "Yuan et al. 2021; S0 Table 4"
    status: ClassVar[Status] = "gaps filled"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["rlkd"] = "rlkd"  # pyright: ignore[reportIncompatibleVariableOverride]
    temperature: float = Field(default=10.0, gt=0, le=1000)
    reward_number: Literal[1, 2, 3] = 2
    gamma: float = Field(default=0.5, gt=0, lt=1)
    episode_steps: int = Field(default=200, ge=1, le=1_000_000)
    policy: Literal["per_teacher", "joint"] = "per_teacher"
    sentence: Literal["teacher", "student"] = "teacher"
    policy_rate: float = Field(default=1e-3, gt=0, le=1)
    ensemble_epochs: int = Field(default=1, ge=0, le=1000)
    policy_epochs: int = Field(default=1, ge=1, le=1000)

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "RLKD":
        if self.reward_number != 3:
            self.refuse_idle(("gamma", "episode_steps"), because=f"reward_number is {self.reward_number}")
        return self

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "sent_emb"})

    @property
    def reward(self) -> Reward | None:
        return Reward(rows=HELD_OUT, held_out=True) if self.reward_number == 3 else None

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        everyone = EnsU(
            temperature=self.temperature,
            alpha=self.alpha,
            t2_scaling=self.t2_scaling,
            direction=self.direction,
            reduction=self.reduction,
        )
        start = Phase("ensemble", everyone, self.ensemble_epochs, schedule="ensemble", scored=False)
        student = Phase("student", self, 1)
        policy = Phase("policy", self, 1, trains="controller", scored=False)
        return (
            *([start] if self.ensemble_epochs else []),
            Phase("policy", self, self.policy_epochs, trains="controller", scored=False),
            student,
            *(policy, student) * (epochs - 1),
        )

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        width = (pair.student if self.sentence == "student" else pair.teachers[0]).width
        heard_of = len(pair.teachers) if self.policy == "joint" else 1
        return nn.ModuleDict({"policy": Policy(len(pair.teachers), width + heard_of * (pair.student.classes + 1))})

    def terms(self, step: Batch) -> MethodOutput:
        _, selection_logits = self._seen(step)
        student = step.student.logits
        targets = [log_probs(teacher.logits, self.temperature) for teacher in step.teachers]
        each = torch.stack([self.kl(target, student, reduction=self.reduction) for target in targets], 1)
        chosen = selected_teachers(sample_teachers(step, selection_logits), selection_logits).to(each.dtype)
        term = LossTerm((each * chosen).sum(1) / chosen.sum(1))
        # Every teacher is queried for every row: the policy reads its output.
        return MethodOutput({"kd": term}, queries=all_asked(step, term))

    def learn(self, step: Batch, answer: MethodOutput, probe: Probe) -> None:
        states, selection_logits = self._seen(step)
        by_odds = log_odds_gradient(sample_teachers(step, selection_logits), selection_logits)
        by_weight = torch.einsum("bk,bks->ks", by_odds, states)
        gradient = step.ranks.sum(torch.cat([by_weight, by_odds.sum(0).unsqueeze(1)], dim=1))
        accuracy = self._accuracy(step, probe) if self.reward_number == 3 else 0.0
        ce, kd, rows = _losses(step, answer)
        reward = reward_of(self.reward_number, ce=ce, kd=kd, accuracy=accuracy, gamma=self.gamma)
        _policy(step).reinforce(gradient / max(1.0, rows), reward=reward, rate=self.policy_rate)

    @torch.no_grad()
    def _seen(self, step: Batch) -> tuple[States, SelectionLogits]:
        text = step.student.sent_emb if self.sentence == "student" else step.teachers[0].sent_emb
        assert text is not None
        teachers = [teacher.logits for teacher in step.teachers]
        states = policy_states(text, teachers, step.labels, joint=self.policy == "joint")
        return states, _policy(step).selection_logits(states)

    def _accuracy(self, step: Batch, probe: Probe) -> float:
        """Of the student on held-out rows, measured once an episode."""
        policy = _policy(step)
        _, epoch, number = step.key
        episode = policy.episode.new_tensor([epoch, number // self.episode_steps])
        if not torch.equal(episode, policy.episode):
            policy.episode.copy_(episode)
            policy.accuracy.fill_(probe.accuracy())
        return float(policy.accuracy)


def _policy(step: Batch) -> Policy:
    policy = step.adapters.get_submodule("policy")
    assert isinstance(policy, Policy)
    return policy


def _losses(step: Batch, answer: MethodOutput) -> tuple[float, float, float]:
    """The student's mean CE and KD over the global batch, and its number of rows."""
    hard, soft = cross_entropy_rows(step.student.logits, step.labels), answer.terms["kd"].values
    labeled = (step.labels >= 0).to(soft.dtype)
    sums = torch.stack([hard.to(soft.dtype).sum(), labeled.sum(), soft.sum(), torch.ones_like(soft).sum()])
    ce, num_labeled, kd, rows = step.ranks.sum(sums.double()).tolist()
    return ce / max(1.0, num_labeled), kd / max(1.0, rows), rows
