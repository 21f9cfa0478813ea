"""CFL: student and teachers meet in a small common feature space.

Source: Luo et al. 2019 (common feature learning); a baseline of S1 Table 3.
Formula: (1 − α)·CE + α·T²·KL(softmax(z/T) ‖ softmax(z_s/T)) + Σ_k MMD²(f_s, f_k) + Σ_k MSE(dec_k(e_k), h_k), over the
    last layer: e = ext(align(h)), f = e of all tokens, flattened to one vector a row and scaled to length 1;
    MMD² = max(0, mean K_xx + mean K_yy − 2·mean K_xy), K = Σ_m exp(−D/(2σ²m)), m = ¼, ½, 1, 2, 4,
    D = squared distances of at least 1e-12, σ² = mean((D_xx + D_yy + 2·D_xy)/4), a constant in the gradient.
    align: Linear, ReLU; ext and dec: Linear, ReLU, Linear; z the teachers' joint logits.
    `ki_shared`: z is their mean. `ki_split`: z puts the subsets' logits side by side, and α = 1, no gold labels.
Needs: logits of K ≥ 2 teachers, cached; every token's vector of the last layer, online.
Refuses: fewer than two teachers; other tokenizers; subsets that overlap or leave a class out, or with gold labels
    (α below 1).
Defaults: T = 5, all three parts 1, a common width of a quarter of the student's (public code of MUKI); α = 0.5 (our
    choice); T² on (D2).
Differs from the source: MMD compares the rows of the global batch, however many workers share it; padding is 0 in f;
    the common width is rounded up. dec reads the teacher's own common vector and has one hidden layer, unlike both
    public codes (D39). MSE is a mean over a row's real tokens and the width, then over rows. The adapters share the
    student's learning rate. On a batch of one row MMD² is a constant but for its bandwidth: prefer more.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.methods.batchwise import value_per_row, whole_batch
from kdray.methods.contract import Batch, LossTerm, MethodOutput, Ranks, TeacherStudent, all_asked
from kdray.methods.integration import check_disjoint, check_gold_labels, joint_logits
from kdray.methods.layers import state_rows
from kdray.methods.losses import log_probs, unit, wide
from kdray.methods.soft_labels import SoftTargets
from kdray.signals import Need, Signals

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
LEAST_DISTANCE = 1e-12
States = Float[Tensor, "batch tokens width"]


class CFL(SoftTargets):
    """Joint soft labels, and last layers whose distributions agree in a space that preserves the teachers' features.

    Attributes:
        alpha: Weight of the KD term, 0 to 1; the hard labels get 1 − alpha. Features always have weight 1.
    """

    title: ClassVar[str] = "CFL"
    source: ClassVar[str] = "Luo et al. 2019; S1 Table 3"
    access: ClassVar[str] = "online"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None
    allows_class_subsets: ClassVar[bool] = True

    name: Literal["cfl"] = "cfl"  # pyright: ignore[reportIncompatibleVariableOverride]
    alpha: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "CFL":
        if not self.alpha:
            self.refuse_idle(("temperature", "t2_scaling", "direction"), because="alpha is 0")
        return self

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "hidden"})

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        check_gold_labels(self.name, pair, alpha=self.alpha)
        check_disjoint(self.name, pair)

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        theirs = [teacher.width for teacher in pair.teachers]
        common = -(-pair.student.width // 4)
        return nn.ModuleDict(
            {
                "align_student": nn.Sequential(nn.Linear(pair.student.width, common), nn.ReLU()),
                "align": nn.ModuleList(nn.Sequential(nn.Linear(width, common), nn.ReLU()) for width in theirs),
                "extract": _two_layers(common, common),
                "decode": nn.ModuleList(_two_layers(common, width) for width in theirs),
            }
        )

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha, "mmd": 1.0, "reconstruction": 1.0}

    def terms(self, step: Batch) -> MethodOutput:
        rows = self.kl(log_probs(joint_logits(step), self.temperature), step.student.logits)
        mask = step.student.mask
        assert mask is not None
        theirs = [_last_layer(teacher) for teacher in step.teachers]
        common = [_common(step, f"align.{k}", states) for k, states in enumerate(theirs)]
        missed = [
            state_rows(_through(step, f"decode.{k}", extracted).unsqueeze(1), states.unsqueeze(1), mask)
            for k, (extracted, states) in enumerate(zip(common, theirs, strict=True))
        ]
        student = common_rows(_common(step, "align_student", _last_layer(step.student)), mask, step.ranks)
        apart = [mmd_squared(student, common_rows(extracted, mask, step.ranks)) for extracted in common]
        mmd = value_per_row(torch.stack(apart).sum(), rows=len(mask), everyone=len(student))
        terms = {"kd": LossTerm(rows), "mmd": LossTerm(mmd), "reconstruction": LossTerm(torch.stack(missed).sum(0))}
        return MethodOutput(terms, queries=all_asked(step, terms["kd"]))


def mmd_squared(x: Float[Tensor, "rows width"], y: Float[Tensor, "rows width"]) -> Float[Tensor, ""]:
    """How far apart two sets of vectors are as distributions; 0 for equal sets. In float64 inside."""
    xx, yy, xy = _squared_distances(x, x), _squared_distances(y, y), _squared_distances(x, y)
    variance = ((xx + yy + 2 * xy) / 4).mean().detach()

    def mean_kernel(distances: Tensor) -> Tensor:
        return torch.stack([(-distances / (2 * variance * m)).exp() for m in BANDWIDTHS]).sum(0).mean()

    return F.relu(mean_kernel(xx) + mean_kernel(yy) - 2 * mean_kernel(xy)).to(x.dtype)


def common_rows(
    extracted: States, mask: Bool[Tensor, "batch tokens"], ranks: Ranks
) -> Float[Tensor, "all_rows all_features"]:
    """One vector of length 1 for each row of the global batch; padding is 0, so that it does not matter how long."""
    real = torch.where(mask.unsqueeze(-1), extracted, 0.0)
    # Workers pad to lengths of their own, and gather tensors of one shape only.
    lengths, _ = ranks.gather(torch.full((len(real),), real.shape[1], device=real.device))
    longest = max(lengths.tolist(), default=real.shape[1])
    padded = F.pad(real, (0, 0, 0, longest - real.shape[1]))
    return whole_batch(unit(padded.flatten(1)), ranks)


def _squared_distances(x: Float[Tensor, "rows width"], y: Float[Tensor, "rows width"]) -> Float[Tensor, "rows rows"]:
    # The difference of nearly equal numbers: float32 would leave noise where all rows are equal.
    x, y = x.double(), y.double()
    squares = x.square().sum(1).unsqueeze(1) + y.square().sum(1) - 2 * x @ y.T
    return squares.clamp(min=LEAST_DISTANCE)


def _common(step: Batch, align: str, states: States) -> States:
    return _through(step, "extract", _through(step, align, states))


def _through(step: Batch, name: str, states: States) -> States:
    """States through an adapter, in its precision."""
    adapter = step.adapters.get_submodule(name)
    return wide(adapter(states.to(next(adapter.parameters()).dtype)))


def _last_layer(signals: Signals) -> States:
    assert signals.hidden is not None
    return signals.hidden[:, -1]


def _two_layers(narrow: int, into: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(narrow, narrow), nn.ReLU(), nn.Linear(narrow, into))
