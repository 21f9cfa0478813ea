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
Rewards = Float[Tensor, " batch"]

EMA_DECAY = 0.9  # of the average reward and its spread, a step
LEAST_SPREAD = 1e-6  # rewards that differ less are equal
PENDING = -1.0  # the accuracy of rows whose episode is not over


class Policy(nn.Module):
    """The state of one logistic agent a teacher, and the choices of an epoch; buffers, because no optimizer moves it.

    Attributes:
        baseline: The average of past rewards, recent ones weighing more.
        spread: The average of squared differences from it.
        rewards: Steps that gave rewards.
        chosen: By training row, the teachers that the student learned from.
        stored: Whether the student has learned by choices yet.
        accuracy: By training row, of the student after the episode in which it learned from the row.
    """

    weight: Tensor
    bias: Tensor
    baseline: Tensor
    spread: Tensor
    rewards: Tensor
    chosen: Tensor
    stored: Tensor
    accuracy: Tensor

    def __init__(self, teachers: int, features: int, *, rows: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(teachers, features))
        self.register_buffer("bias", torch.zeros(teachers))
        self.register_buffer("baseline", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("spread", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("rewards", torch.tensor(0))
        self.register_buffer("chosen", torch.zeros(rows, teachers, dtype=torch.bool))
        self.register_buffer("stored", torch.tensor(False))
        self.register_buffer("accuracy", torch.full((rows,), PENDING, dtype=torch.float64))

    def selection_logits(self, states: States) -> SelectionLogits:
        """log π/(1 − π) of every agent."""
        return (states * self.weight.to(states.dtype)).sum(-1) + self.bias.to(states.dtype)

    def store(self, rows: Int[Tensor, " batch"], chosen: Choice) -> None:
        """Note what the student learned from; `rows` are positions in the training rows."""
        self.chosen[rows] = chosen
        self.accuracy[rows] = PENDING
        self.stored.fill_(True)

    def end_episode(self, accuracy: float) -> None:
        """The accuracy of all rows that wait for one."""
        self.accuracy[self.accuracy == PENDING] = accuracy

    def advantages(self, rewards: Rewards, *, mean: float, spread: float) -> Rewards:
        """How much better than usual each reward is, in deviations; of the first step, than its own `mean`."""
        usual, deviation = (float(self.baseline), float(self.spread)) if self.rewards else (mean, spread)
        return (rewards - usual) / max(deviation**0.5, LEAST_SPREAD)

    def reinforce(
        self, gradient: Float[Tensor, "teachers features+1"], *, rate: float, mean: float, spread: float
    ) -> None:
        """One step of REINFORCE along a weighted gradient of log π whose last column belongs to the bias.

        Args:
            mean, spread: Of the step's rewards, and of their squared differences from the baseline.
        """
        self.weight += rate * gradient[:, :-1]
        self.bias += rate * gradient[:, -1]
        kept = EMA_DECAY if self.rewards else 0.0
        self.baseline.mul_(kept).add_((1 - kept) * mean)
        self.spread.mul_(kept).add_((1 - kept) * spread)
        self.rewards += 1


def policy_states(
    text: Float[Tensor, "batch width"], teachers: Sequence[Logits], labels: Int[Tensor, " batch"], *, joint: bool
) -> States:
    """A teacher's state: the vector of the text, standardized and of length 1, the teacher's probabilities, its loss.

    A joint policy shows every agent all of it. The loss of a row without a label is 0.
    """
    wide = text.to(torch.promote_types(text.dtype, torch.float32))
    vector = F.layer_norm(wide, wide.shape[-1:]) / wide.shape[-1] ** 0.5
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


def rewards_of(number: int, *, ce: Rewards, kd: Rewards, accuracy: Rewards, gamma: float) -> Rewards:
    """Each row's reward by its number in Yuan et al., from the student's losses of the row and its accuracy."""
    if number == 1:
        return -ce
    if number == 2:
        return -ce - kd
    return gamma * (-ce - kd) + (1 - gamma) * accuracy
