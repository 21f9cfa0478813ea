"""Rand-Single-Ensemble: another teacher for every batch.

Source: S0 §4.3 and Table 4; Yuan et al. 2021.
Formula: (1 − α)·CE + α·T²·KL(softmax(z_k/T) ‖ softmax(z_s/T)), k uniform over the teachers, drawn once a batch.
Needs: logits of K ≥ 2 teachers, cached.
Refuses: fewer than two teachers, other class counts.
Defaults: T = 5, α = 0.5 as `ens_u`.
Differs from the source: with gradient accumulation every micro-batch draws its own teacher.
"""

from typing import ClassVar, Literal

import torch

from kdray.methods.contract import Batch, MethodOutput
from kdray.methods.ensembles import soft_terms
from kdray.methods.losses import log_probs
from kdray.methods.soft_labels import SoftLabels


class EnsRand(SoftLabels):
    """Soft labels of one teacher, drawn by the counter: all workers draw the same."""

    title: ClassVar[str] = "Rand-Single-Ensemble"
    source: ClassVar[str] = "S0 Table 4; Yuan et al. 2021"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["ens_rand"] = "ens_rand"  # pyright: ignore[reportIncompatibleVariableOverride]

    def terms(self, step: Batch) -> MethodOutput:
        drawn = int(torch.randint(len(step.teachers), (), generator=step.generator("teacher")))
        return soft_terms(step, log_probs(step.teachers[drawn].logits, self.temperature), self, of_one=True)
