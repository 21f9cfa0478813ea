"""A small actor-critic: which of a few things to do until the next decision, and what the student's state is worth."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

START_STD = 0.02
EMA_DECAY = 0.9  # of an average, a step

State = Float[Tensor, " features"]
Choice = Bool[Tensor, " choices"]


class ActorCritic(nn.Module):
    """Logistic odds for each choice and a linear value; all of it buffers, because no optimizer moves it.

    Attributes:
        averages: Of what was observed of each choice, recent steps weighing more.
        steps: Observed so far.
        state: In which the running action was decided.
        drawn: The draw that was decided by; the policy's gradient is that of the draw.
        action: What runs: the draw, or the best choice alone where nothing was drawn. At first everything.
        measured: The student's loss on the reward rows at the last decision.
    """

    actor: Tensor
    critic: Tensor
    averages: Tensor
    steps: Tensor
    state: Tensor
    drawn: Tensor
    action: Tensor
    measured: Tensor

    def __init__(self, choices: int, features: int) -> None:
        super().__init__()
        self.register_buffer("actor", START_STD * torch.randn(choices, features + 1, dtype=torch.float64))
        self.register_buffer("critic", START_STD * torch.randn(features + 1, dtype=torch.float64))
        self.register_buffer("averages", torch.zeros(choices, dtype=torch.float64))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("state", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("drawn", torch.ones(choices, dtype=torch.bool))
        self.register_buffer("action", torch.ones(choices, dtype=torch.bool))
        self.register_buffer("measured", torch.tensor(0.0, dtype=torch.float64))

    def odds(self, state: State) -> Float[Tensor, " choices"]:
        """log π/(1 − π) of each choice."""
        return self.actor @ _with_one(state)

    def value(self, state: State) -> float:
        return float(self.critic @ _with_one(state))

    def observe(self, losses: Float[Tensor, " choices"]) -> None:
        """Count a step and remember what was seen in it; the first one is the first average."""
        kept = EMA_DECAY if self.steps else 0.0
        self.averages.mul_(kept).add_((1 - kept) * losses.to(self.averages.dtype))
        self.steps += 1

    def improve(self, *, reward: float, then: State, discount: float, bonus: float, rate: float) -> float:
        """One step on −δ·log π(drawn) − bonus·H(π) and on δ², for the last decision; returns δ.

        Args:
            then: The state that the decision led to; its value is a constant in the gradient of δ².
        """
        error = reward + discount * self.value(then) - self.value(self.state)
        odds = self.odds(self.state)
        chance = odds.sigmoid()
        by_odds = error * (self.drawn.to(odds.dtype) - chance) - bonus * odds * chance * (1 - chance)
        features = _with_one(self.state)
        self.actor += rate * torch.outer(by_odds, features)
        self.critic += rate * 2 * error * features
        return error

    def decide(self, state: State, *, measured: float, generator: torch.Generator) -> None:
        """Draw the next action."""
        odds = self.odds(state)
        noise = torch.rand(len(odds), generator=generator, dtype=odds.dtype).to(odds.device)
        self.state.copy_(state)
        self.drawn.copy_(noise < odds.sigmoid())
        self.action.copy_(at_least_one(self.drawn, odds))
        self.measured.fill_(measured)


def at_least_one(drawn: Choice, odds: Float[Tensor, " choices"]) -> Choice:
    """The draw, or where it is empty the choice with the best odds (the first of equals)."""
    best = F.one_hot(torch.sort(odds, descending=True, stable=True).indices[0], len(odds)).bool()
    return drawn if bool(drawn.any()) else best


def _with_one(state: State) -> Tensor:
    return torch.cat([state, state.new_ones(1)])
