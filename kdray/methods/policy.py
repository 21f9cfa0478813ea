"""A policy over teachers: the state of each agent, its logits, sampling by a counter, and the reward."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kdray.methods.contract import Batch
from kdray.methods.losses import Logits, cross_entropy_rows, log_probs

SelectionLogits = Float[Tensor, "batch teachers"]
Choice = Bool[Tensor, "batch teachers"]
States = Float[Tensor, "batch teachers features"]

EMA_DECAY = 0.9  # of the average reward, a step


class Policy(nn.Module):
    """The state of one logistic agent a teacher; buffers, because no optimizer moves it.

    Attributes:
        baseline: The average of past rewards, recent ones weighing more.
        rewards: How many there were.
        episode: (epoch, number) of the last measurement of `accuracy`.
    """

    weight: Tensor
    bias: Tensor
    baseline: Tensor
    rewards: Tensor
    episode: Tensor
    accuracy: Tensor

    def __init__(self, teachers: int, features: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(teachers, features))
        self.register_buffer("bias", torch.zeros(teachers))
        self.register_buffer("baseline", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("rewards", torch.tensor(0))
        self.register_buffer("episode", torch.tensor([-1, -1]))
        self.register_buffer("accuracy", torch.tensor(0.0, dtype=torch.float64))

    def selection_logits(self, states: States) -> SelectionLogits:
        """log π/(1 − π) of every agent."""
        return (states * self.weight.to(states.dtype)).sum(-1) + self.bias.to(states.dtype)

    def advantage(self, reward: float) -> float:
        """How much better than usual; the first reward is the usual one."""
        return reward - float(self.baseline) if self.rewards else 0.0

    def reinforce(self, gradient: Float[Tensor, "teachers features+1"], *, reward: float, rate: float) -> None:
        """One step of REINFORCE along a gradient of log π whose last column belongs to the bias."""
        step = rate * self.advantage(reward) * gradient
        self.weight += step[:, :-1]
        self.bias += step[:, -1]
        self.baseline += (1 - EMA_DECAY) * (reward - self.baseline) if self.rewards else reward
        self.rewards += 1


def policy_states(
    text: Float[Tensor, "batch width"], teachers: Sequence[Logits], labels: Int[Tensor, " batch"], *, joint: bool
) -> States:
    """A teacher's state: the standardized vector of the text, the teacher's probabilities, its loss on the label.

    A joint policy shows every agent all of it. The loss of a row without a label is 0.
    """
    wide = text.to(torch.promote_types(text.dtype, torch.float32))
    vector = F.layer_norm(wide, wide.shape[-1:])
    probabilities = torch.stack([log_probs(z, 1.0).exp() for z in teachers], dim=1)
    loses = torch.stack([cross_entropy_rows(z, labels) for z in teachers], dim=1)
    if joint:
        both = torch.cat([vector, probabilities.flatten(1), loses], dim=1)
        return both.unsqueeze(1).expand(-1, len(teachers), -1)
    return torch.cat([vector.unsqueeze(1).expand(-1, len(teachers), -1), probabilities, loses.unsqueeze(-1)], dim=-1)


def sample_teachers(step: Batch, selection_logits: SelectionLogits) -> Choice:
    """One Bernoulli choice a row and teacher; it depends on the row's place in the global batch."""
    everyone, mine = step.ranks.gather(selection_logits)
    noise = torch.rand(everyone.shape, generator=step.generator("policy")).to(selection_logits.device)
    return noise[mine] < selection_logits.sigmoid()


def selected_teachers(choice: Choice, selection_logits: SelectionLogits) -> Choice:
    """The sampled teachers, or the most likely one (the first of equals) if none was sampled."""
    best = F.one_hot(selection_logits.argmax(-1), selection_logits.shape[-1]).bool()
    return torch.where(choice.any(-1, keepdim=True), choice, best)


def log_odds_gradient(choice: Choice, selection_logits: SelectionLogits) -> SelectionLogits:
    """∂ log π(a) by the logits: a − π."""
    return choice.to(selection_logits.dtype) - selection_logits.sigmoid()


def reward_of(number: int, *, ce: float, kd: float, accuracy: float, gamma: float) -> float:
    """The reward by its number in Yuan et al., from the student's mean losses and its accuracy."""
    if number == 1:
        return -ce
    if number == 2:
        return -ce - kd
    return gamma * (-ce - kd) + (1 - gamma) * accuracy
