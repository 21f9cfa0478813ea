"""DFA: the teachers' features, layer by layer, merged into one that the student copies.

Source: Shen et al. 2019 (layer-wise amalgamation); a baseline of S1 Table 3.
Formula: (1 − α)·CE + α·T²·KL(softmax(z/T) ‖ softmax(z_s/T)) + Σ_i MSE(F_i h_s,i, sg(r_i)) + Σ_i Σ_k MSE(ĥ_i,k, h_i,k),
    r_i = E_i [h_i,1; …; h_i,K], (ĥ_i,1 … ĥ_i,K) = D_i r_i, sg without gradient; z the teachers' joint logits.
    `ki_shared`: z is their mean. `ki_split`: z puts the subsets' logits side by side, and α = 1, no gold labels.
Needs: logits of K ≥ 2 teachers, cached; every token's vector in every layer, online.
Refuses: fewer than two teachers; other tokenizers; more aligned layers than the student has, or several and a teacher
    with fewer layers than the student; subsets that overlap or leave a class out, or with gold labels (α below 1).
Defaults: T = 5, all three parts 1, one aligned layer (public code of MUKI); α = 0.5 (our choice); T² on (D2).
Differs from the source: E, D, F have no bias (D14); they share the student's learning rate. MSE is a mean over a row's
    real tokens and the width, then over rows. Student layer i copies layer ⌊i·L_t/L_s + ½⌋, from the last one down.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, MethodOutput, TeacherStudent, all_asked
from kdray.methods.integration import check_disjoint, check_gold_labels, joint_logits
from kdray.methods.layers import map_vectors, state_rows, uniform_layers
from kdray.methods.losses import log_probs, wide
from kdray.methods.soft_labels import SoftTargets
from kdray.signals import Need, Signals

ALL_LAYERS = -1


class DFA(SoftTargets):
    """Joint soft labels, and layers amalgamated by an encoder that is trained to give the teachers' features back.

    Attributes:
        alpha: Weight of the KD term, 0 to 1; the hard labels get 1 − alpha. Features always have weight 1.
        align_number: How many layers are copied, the last ones; -1 is all of the student's.
    """

    title: ClassVar[str] = "DFA"
    source: ClassVar[str] = "Shen et al. 2019; S1 Table 3"
    access: ClassVar[str] = "online"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None
    allows_class_subsets: ClassVar[bool] = True

    name: Literal["dfa"] = "dfa"  # pyright: ignore[reportIncompatibleVariableOverride]
    alpha: float = Field(default=0.5, ge=0, le=1)
    align_number: int = Field(default=1, ge=ALL_LAYERS, le=1000, examples=[ALL_LAYERS])

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "DFA":
        if not self.alpha:
            self.refuse_idle(("temperature", "t2_scaling", "direction"), because="alpha is 0")
        if not self.align_number:
            raise ValueError("align_number = 0 aligns nothing; allowed are 1 or more, or -1 for all layers")
        return self

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "hidden"})

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        check_gold_labels(self.name, pair, alpha=self.alpha)
        check_disjoint(self.name, pair)
        depth = pair.student.layers
        if self.align_number > depth:
            raise ConfigError(
                f"method.align_number = {self.align_number}, but the student has {depth} layers; 1 to {depth}, or -1."
            )
        shallow = [teacher for teacher in pair.teachers if teacher.layers < depth]
        if shallow and self._number(depth) > 1:
            raise ConfigError(
                f"method dfa aligns {self._number(depth)} of the student's {depth} layers, {shallow[0].name} has "
                f"{shallow[0].layers}; set method.align_number=1 or a shallower student."
            )

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        ours, theirs = pair.student.width, sum(teacher.width for teacher in pair.teachers)
        number = self._number(pair.student.layers)
        return nn.ModuleDict(
            {
                "encode": nn.ModuleList(nn.Linear(theirs, ours, bias=False) for _ in range(number)),
                "decode": nn.ModuleList(nn.Linear(ours, theirs, bias=False) for _ in range(number)),
                "adapt": nn.ModuleList(nn.Linear(ours, ours, bias=False) for _ in range(number)),
            }
        )

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha, "amalgamation": 1.0, "reconstruction": 1.0}

    def terms(self, step: Batch) -> MethodOutput:
        rows = self.kl(log_probs(joint_logits(step), self.temperature), step.student.logits)
        amalgamation, reconstruction = self._features(step)
        terms = {
            "kd": LossTerm(rows),
            "amalgamation": LossTerm(amalgamation),
            "reconstruction": LossTerm(reconstruction),
        }
        return MethodOutput(terms, queries=all_asked(step, terms["kd"]))

    def _number(self, depth: int) -> int:
        return depth if self.align_number == ALL_LAYERS else self.align_number

    def _features(self, step: Batch) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """What the student's last layers miss of the merged features, and what these miss of the teachers'."""
        hidden, mask = step.student.hidden, step.student.mask
        assert hidden is not None
        assert mask is not None
        depth = hidden.shape[1] - 1
        number = self._number(depth)
        taught = [_aligned(teacher, depth=depth, number=number) for teacher in step.teachers]
        merged = _layerwise(step.adapters, "encode", torch.cat(taught, dim=-1))
        restored = _layerwise(step.adapters, "decode", merged).split([each.shape[-1] for each in taught], dim=-1)
        copy = _layerwise(step.adapters, "adapt", hidden[:, -number:])
        missed = [state_rows(mine, theirs, mask) for mine, theirs in zip(restored, taught, strict=True)]
        return state_rows(copy, merged.detach(), mask), torch.stack(missed).sum(0)


def _aligned(teacher: Signals, *, depth: int, number: int) -> Float[Tensor, "batch number tokens width"]:
    """The teacher's layers that the last `number` layers of a student of some depth copy."""
    hidden = teacher.hidden
    assert hidden is not None
    return wide(hidden[:, list(uniform_layers(depth, hidden.shape[1] - 1)[-number:])])


def _layerwise(
    adapters: nn.Module, name: str, states: Float[Tensor, "batch number tokens width"]
) -> Float[Tensor, "batch number tokens other"]:
    """Every layer through its own map."""
    maps = adapters.get_submodule(name).children()
    return torch.stack([map_vectors(linear, states[:, i]) for i, linear in enumerate(maps)], dim=1)
