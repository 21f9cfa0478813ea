"""KSM: an actor-critic decides which kinds of knowledge the student learns. A reconstruction, not the authors' method.

Source: Wang et al. 2022/2023, of which only the abstract was at hand: several types of knowledge, an actor-critic that
    picks among them at each step and values steps to come, a refinement against its cost. A baseline of S1 Table 3.
Formula: CE + a_r·w_r·KD + a_f·w_f·L_PT + a_m·w_m·L_R, a in {0, 1}. KD: T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)).
    L_PT: that of `pkd`, skip and elementmean. L_R: mean squared difference of student's and teacher's matrices of
    cosines between the rows' last-layer [CLS] vectors. Every `interval` steps ρ = CE before − CE after on 256 fixed
    training rows, δ = ρ + γ·V(s′) − V(s), actor loss −δ·log π(a|s) − b·H(π), critic loss δ²; a ~ Bernoulli(σ(A·s)),
    the best one alone where none is drawn; s = [average of each loss (0.9 old, 0.1 new); CE; H(softmax(z_s))/log C;
    share of the training done; the running a], and V = v·s.
Needs: logits and [CLS] of every layer of one teacher, cached.
Refuses: a student of one layer, a teacher with fewer layers than the student, several teachers, other class counts.
Defaults: all ours. T = 5; weights 1, 100, 1; interval 10; γ = 0.9; b = 0.01; rate 0.01; A and v start at N(0, 0.02²).
Differs from the source: everything that its abstract leaves open. An action holds for `interval` steps (micro-batches,
    where gradients accumulate), and the first one is to learn everything; widths that differ get one bias-free
    projection on the student's side (D14); L_R compares the rows of the global batch.
"""

import math
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.methods.actor_critic import ActorCritic
from kdray.methods.batchwise import value_per_row, whole_batch
from kdray.methods.contract import (
    Batch,
    LossTerm,
    Method,
    MethodOutput,
    Phase,
    Probe,
    Ranks,
    Reward,
    Status,
    TeacherStudent,
)
from kdray.methods.layers import patient_differences, projected, refuse_shallow_teachers, student_projection
from kdray.methods.losses import cross_entropy_rows, entropy_rows, kd_rows, log_probs, unit, wide
from kdray.signals import Need, Signals

TYPES = ("response", "feature", "relation")
FEATURES = len(TYPES) + 3 + len(TYPES)  # what `_state` puts together
REWARD_ROWS = 256
ClassVectors = Float[Tensor, "batch layers+1 width"]


class KSM(Method):
    """Hard labels always; responses, features and relations when the actor picks them.

    Attributes:
        temperature: Softens both distributions of the responses; above 0.
        t2_scaling: Multiply the responses' term by T².
        response_weight: Of the responses where they are picked.
        feature_weight: Of the features where they are picked.
        relation_weight: Of the relations where they are picked.
        interval: Steps between two decisions.
        discount: γ, what the next decision's rewards count, 0 to 1.
        entropy_bonus: b, keeps the actor from being sure too early.
        rate: Learning rate of actor and critic.
    """

    title: ClassVar[str] = "KSM (reconstruction)"
    source: ClassVar[str] = "reconstruction after the abstract of Wang et al. 2022; S1 Table 3"
    status: ClassVar[Status] = "reconstruction"

    name: Literal["ksm"] = "ksm"  # pyright: ignore[reportIncompatibleVariableOverride]
    temperature: float = Field(default=5.0, gt=0, le=1000)
    t2_scaling: bool = True
    response_weight: float = Field(default=1.0, gt=0, le=1e6)
    feature_weight: float = Field(default=100.0, gt=0, le=1e6)
    relation_weight: float = Field(default=1.0, gt=0, le=1e6)
    interval: int = Field(default=10, ge=1, le=1_000_000)
    discount: float = Field(default=0.9, ge=0, le=1)
    entropy_bonus: float = Field(default=0.01, ge=0, le=1e6)
    rate: float = Field(default=0.01, gt=0, le=1)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "cls"})

    @property
    def reward(self) -> Reward | None:
        return Reward(rows=REWARD_ROWS, held_out=False)

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        return (Phase(self.name, self, epochs, trains="both"),)

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if pair.student.layers < 2:
            raise ConfigError(
                "method ksm copies all layers but the last, and the student has one; give it two or more."
            )
        refuse_shallow_teachers(self.name, pair)

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        return nn.ModuleDict({"controller": ActorCritic(len(TYPES), FEATURES), **student_projection(pair)})

    def weights(self) -> dict[str, float]:
        weights = (self.response_weight, self.feature_weight, self.relation_weight)
        return {"hard": 1.0, **dict(zip(TYPES, weights, strict=True))}

    def terms(self, step: Batch) -> MethodOutput:
        student, teacher = _class_vectors(step.student), _class_vectors(step.teachers[0])
        response = kd_rows(
            log_probs(step.teachers[0].logits, self.temperature),
            step.student.logits,
            temperature=self.temperature,
            t2_scaling=self.t2_scaling,
            direction="forward",
            reduction="batchmean",
        )
        values = (
            response,
            patient_differences(projected(step.adapters, student), teacher, "skip").mean((1, 2)),
            relation_rows(student[:, -1], teacher[:, -1], step.ranks),
        )
        everyone = torch.ones_like(step.labels, dtype=torch.bool)
        running = _controller(step).action
        terms = {name: LossTerm(values[i], everyone & running[i]) for i, name in enumerate(TYPES)}
        return MethodOutput(terms, queries={"teacher": everyone})

    def learn(self, step: Batch, output: MethodOutput, probe: Probe) -> None:
        controller = _controller(step)
        losses, ce, entropy = _observed(step, output)
        controller.observe(losses)
        if int(controller.steps) % self.interval:
            return
        running = controller.action.to(losses.dtype)
        state = torch.cat([controller.averages, losses.new_tensor([ce, entropy, step.progress]), running])
        measured = probe.cross_entropy()
        if int(controller.steps) > self.interval:  # before the first decision there is nothing to reward
            controller.improve(
                reward=float(controller.measured) - measured,
                then=state,
                discount=self.discount,
                bonus=self.entropy_bonus,
                rate=self.rate,
            )
        controller.decide(state, measured=measured, generator=step.generator("action"))


def relation_rows(
    student: Float[Tensor, "batch width"], teacher: Float[Tensor, "batch other"], ranks: Ranks
) -> Float[Tensor, " batch"]:
    """L_R of the global batch, as a value per row."""
    ours, theirs = (whole_batch(unit(wide(vectors)), ranks) for vectors in (student, teacher))
    loss = (ours @ ours.T - theirs @ theirs.T).square().mean()
    return value_per_row(loss, rows=len(student), everyone=len(ours))


def _observed(step: Batch, output: MethodOutput) -> tuple[Float[Tensor, " types"], float, float]:
    """Means over the global batch: each type's loss, picked or not; the student's CE; its scaled entropy."""
    logits, labeled = step.student.logits, step.labels >= 0
    values = [output.terms[name].values for name in TYPES]
    values += [
        cross_entropy_rows(logits, step.labels),
        entropy_rows(log_probs(logits, 1.0)) / math.log(logits.shape[1]),
    ]
    sums = [rows.double().sum() for rows in values] + [
        labeled.double().sum(),
        torch.ones_like(step.labels).double().sum(),
    ]
    total = step.ranks.sum(torch.stack(sums))
    labels, rows = total[-2:].clamp(min=1)
    return total[: len(TYPES)] / rows, float(total[len(TYPES)] / labels), float(total[len(TYPES) + 1] / rows)


def _controller(step: Batch) -> ActorCritic:
    controller = step.adapters.get_submodule("controller")
    assert isinstance(controller, ActorCritic)
    return controller


def _class_vectors(signals: Signals) -> ClassVectors:
    assert signals.cls is not None
    return signals.cls
