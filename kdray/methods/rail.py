"""RAIL-KD: soft labels, and layers between the first and the last that are matched at random, anew in every epoch.

Source: Haidar et al. 2022, "RAIL-KD: RAndom Intermediate Layer Mapping for Knowledge Distillation".
Formula: (1 − α)·CE + α·T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)) + β·L, with M = L_s − 1 student layers j = 1..M and as
    many of the teacher's layers 1..L_t − 1, drawn without repeats and sorted, r(1) < ... < r(M);
    L = mean_b Σ_j ‖nrm(A_j v_s,j) − nrm(B_j v_t,r(j))‖², v_s,j and v_t,j the means over a row's real tokens.
Needs: logits of one teacher, cached; every token's vector in every layer, online.
Refuses: a student of one layer, a teacher with fewer layers, another tokenizer, other class counts.
Defaults: A_j and B_j map to a width of 128; α = 0.5 and T = 5 as `kd`, β = 1 (our choices).
Differs from the source: its three weights are one third each; its second variant, which compares the layers end to end,
    is left out. A and B have no bias (D14) and both are trained.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, MethodOutput, Status, TeacherStudent
from kdray.methods.layers import map_vectors, projection, refuse_shallow_teachers
from kdray.methods.losses import log_probs, unit, wide
from kdray.methods.soft_labels import SoftLabels
from kdray.seeds import seed_of
from kdray.signals import Need, Signals


class RAIL(SoftLabels):
    """Soft labels, and means over tokens of layers that are drawn once an epoch.

    Attributes:
        beta: Weight of the layers; above 0.
        width: Of the vectors that are compared.
    """

    title: ClassVar[str] = "RAIL-KD"
    source: ClassVar[str] = "Haidar et al. 2022; cited by S1"
    status: ClassVar[Status] = "gaps filled"
    access: ClassVar[str] = "online"

    name: Literal["rail"] = "rail"  # pyright: ignore[reportIncompatibleVariableOverride]
    beta: float = Field(default=1.0, gt=0, le=1e6)
    width: int = Field(default=128, ge=1, le=100_000, examples=[4])

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "hidden"})

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if pair.student.layers < 2:
            raise ConfigError("method rail compares all layers but the last, and the student has one; give it two.")
        refuse_shallow_teachers(self.name, pair)

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        number = pair.student.layers - 1
        widths = {"student": pair.student.width, "teacher": pair.teachers[0].width}
        return nn.ModuleDict(
            {side: nn.ModuleList(projection(own, self.width) for _ in range(number)) for side, own in widths.items()}
        )

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha, "layers": self.beta}

    def terms(self, step: Batch) -> MethodOutput:
        teacher = step.teachers[0]
        target = log_probs(teacher.logits, self.temperature)
        rows = self.kl(target, step.student.logits, reduction=self.reduction)
        terms = {"kd": LossTerm(rows), "layers": LossTerm(self._layers(step, teacher))}
        return MethodOutput(terms, queries={"teacher": terms["kd"].covered()})

    def _layers(self, step: Batch, teacher: Signals) -> Float[Tensor, " batch"]:
        mine, theirs, mask = step.student.hidden, teacher.hidden, step.student.mask
        assert mine is not None
        assert theirs is not None
        assert mask is not None
        drawn = drawn_layers(mine.shape[1] - 2, of=theirs.shape[1] - 2, key=step.key)
        sides = {"student": mean_states(mine[:, 1:-1], mask), "teacher": mean_states(theirs[:, list(drawn)], mask)}
        compared = [_projected(step.adapters.get_submodule(side), means) for side, means in sides.items()]
        return (compared[0] - compared[1]).square().sum((1, 2))


def _projected(maps: nn.Module, means: Float[Tensor, "batch layers width"]) -> Float[Tensor, "batch layers other"]:
    mapped = [map_vectors(linear, means[:, i]) for i, linear in enumerate(maps.children())]
    return unit(torch.stack(mapped, dim=1))


def drawn_layers(count: int, *, of: int, key: tuple[int, int, int]) -> tuple[int, ...]:
    """`count` of the layers 1..`of`, without repeats and ascending; another draw for every seed and epoch.

    >>> drawn_layers(3, of=3, key=(0, 0, 0))
    (1, 2, 3)
    """
    generator = torch.Generator().manual_seed(seed_of(key[0], key[1], "rail"))
    return tuple(sorted((torch.randperm(of, generator=generator)[:count] + 1).tolist()))


def mean_states(
    states: Float[Tensor, "batch layers tokens width"], mask: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch layers width"]:
    """The mean over each row's own real tokens."""
    real = mask[:, None, :, None]
    return torch.where(real, wide(states), 0.0).sum(2) / real.sum(2).clamp(min=1)
