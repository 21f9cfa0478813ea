"""RL-KD: a policy learns which teachers to use for each row, from what the student became by its choices.

Source: Yuan et al. 2021; S0 §4.3 and Table 4.
Formula: (1 − α)·CE + α·mean_x mean_{k chosen for x} KD_k(x). Teacher k is chosen with probability
    π_k = σ(A_k·s_k + b_k), s_k = [F(x); softmax(z_k); CE_k(x)]; where none is, the one of largest π is.
    An epoch's choices a are stored. When the student has learned from them, the policy passes over the same rows:
    A += η·Σ_x (r(x) − r̄)/σ·∇log π(a_k | s_k)/B, b likewise; r̄ and σ² are averages of past rewards and of their squared
    differences from r̄ (0.9 old, 0.1 new). The losses of a reward are the updated student's on the row and on the
    teachers that were chosen for it: 1: −CE; 2: −CE − KD; 3: γ(−CE − KD) + (1 − γ)·accuracy on held-out training
    rows, measured when the episode ended in which the student learned from the row.
Needs: logits of K ≥ 2 teachers, the first one's mean-pooled sentence vector (or the student's own); all cached.
Refuses: fewer than two teachers, other class counts; settings of reward 3 without it.
Defaults: T = 10, α = 0.5 (Yuan et al.); γ = 0.5 of S0's grid. Our choice: η falls linearly from 0.3 to 0 over the
    policy's epochs; one epoch of each pre-training; episodes of 50 steps; reward 2, which needs no rows of its own.
Differs from the source: F is the first teacher's vector, standardized and of length 1, not an extra model's [CLS].
    Policy pre-training samples choices, under the student that the whole ensemble has taught. Rewards of rows and their
    division by σ are ours: no source gives the credit of a row or the rate. A student's own F is that of
    the policy's pass. Reward 1 does not look at the teachers: what a choice did to the CE of a row is lost among what
    all other rows did, and the policy hardly moves. A and b start at 0. The student's dropout is on while the policy
    learns.
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
    PENDING,
    Choice,
    Policy,
    Rewards,
    SelectionLogits,
    States,
    log_odds_gradient,
    policy_states,
    rewards_of,
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
        episode_steps: The accuracy of reward 3 is measured after so many steps of the student, and after every epoch.
        policy: Each agent sees its own teacher (`per_teacher`), or the outputs of all of them (`joint`).
        sentence: Whose vector of the text is F: the first `teacher`'s or the `student`'s.
        policy_rate: η at the start; it falls to 0.
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
    episode_steps: int = Field(default=50, ge=1, le=1_000_000)
    policy: Literal["per_teacher", "joint"] = "per_teacher"
    sentence: Literal["teacher", "student"] = "teacher"
    policy_rate: float = Field(default=0.3, gt=0, le=1)
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
        student = Phase("student", self, 1, trains="both")
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
        features = width + heard_of * (pair.student.classes + 1)
        return nn.ModuleDict({"policy": Policy(len(pair.teachers), features, rows=pair.rows)})

    def terms(self, step: Batch) -> MethodOutput:
        _, selection_logits = self._seen(step)
        student = step.student.logits
        targets = [log_probs(teacher.logits, self.temperature) for teacher in step.teachers]
        each = torch.stack([self.kl(target, student, reduction=self.reduction) for target in targets], 1)
        chosen = _chosen(step, selection_logits).to(each.dtype)
        term = LossTerm((each * chosen).sum(1) / chosen.sum(1))
        # Every teacher is queried for every row: the policy reads its output.
        return MethodOutput({"kd": term}, queries=all_asked(step, term))

    def learn(self, step: Batch, output: MethodOutput, probe: Probe) -> None:
        states, selection_logits = self._seen(step)
        chosen = _chosen(step, selection_logits)
        if step.phase == "student":
            self._store(step, chosen, probe)
        else:
            self._reinforce(step, output, chosen, states, selection_logits, probe)

    def _store(self, step: Batch, chosen: Choice, probe: Probe) -> None:
        """Note the global batch's choices; the student has just learned from them."""
        assert step.rows is not None
        _policy(step).store(step.ranks.gather(step.rows)[0], step.ranks.gather(chosen)[0])
        if self.reward_number == 3 and (step.key[2] + 1) % self.episode_steps == 0:
            _policy(step).end_episode(probe.accuracy())

    def _reinforce(
        self,
        step: Batch,
        output: MethodOutput,
        chosen: Choice,
        states: States,
        selection_logits: SelectionLogits,
        probe: Probe,
    ) -> None:
        policy = _policy(step)
        ce, kd = cross_entropy_rows(step.student.logits, step.labels), output.terms["kd"].values
        accuracy = self._accuracy(step, probe) if self.reward_number == 3 else torch.zeros_like(kd)
        rewards = rewards_of(self.reward_number, ce=ce.to(kd.dtype), kd=kd, accuracy=accuracy, gamma=self.gamma)
        mean = _mean(step, rewards)
        spread = _mean(step, (rewards - (float(policy.baseline) if policy.rewards else mean)).square())
        advantages = policy.advantages(rewards, mean=mean, spread=spread).to(states.dtype)
        by_odds = advantages.unsqueeze(1) * log_odds_gradient(chosen, selection_logits)
        by_weight = torch.einsum("bk,bks->ks", by_odds, states)
        gradient = step.ranks.sum(torch.cat([by_weight, by_odds.sum(0).unsqueeze(1)], dim=1)) / _rows(step, rewards)
        policy.reinforce(gradient, rate=self.policy_rate * (1 - step.progress), mean=mean, spread=spread)

    @torch.no_grad()
    def _seen(self, step: Batch) -> tuple[States, SelectionLogits]:
        text = step.student.sent_emb if self.sentence == "student" else step.teachers[0].sent_emb
        assert text is not None
        teachers = [teacher.logits for teacher in step.teachers]
        states = policy_states(text, teachers, step.labels, joint=self.policy == "joint")
        return states, _policy(step).selection_logits(states)

    def _accuracy(self, step: Batch, probe: Probe) -> Rewards:
        """After each row's episode; those of the last one end with the student's epoch."""
        policy = _policy(step)
        assert step.rows is not None
        if (policy.accuracy == PENDING).any():
            policy.end_episode(probe.accuracy())
        return policy.accuracy[step.rows].to(step.student.logits.dtype)


def _policy(step: Batch) -> Policy:
    policy = step.adapters.get_submodule("policy")
    assert isinstance(policy, Policy)
    return policy


def _chosen(step: Batch, selection_logits: SelectionLogits) -> Choice:
    """The teachers of each row: sampled, or the stored ones while the policy learns."""
    policy = _policy(step)
    if step.phase == "policy" and policy.stored:
        assert step.rows is not None
        return policy.chosen[step.rows]
    return selected_teachers(sample_teachers(step, selection_logits), selection_logits)


def _rows(step: Batch, values: Rewards) -> float:
    """Of the global batch."""
    return max(1.0, float(step.ranks.sum(torch.ones_like(values).double().sum())))


def _mean(step: Batch, values: Rewards) -> float:
    """Over the global batch."""
    return float(step.ranks.sum(values.double().sum())) / _rows(step, values)
