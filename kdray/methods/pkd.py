"""Patient knowledge distillation: soft labels and the [CLS] vectors between the layers.

Source: Sun et al. 2019; S0 §4.2; a baseline of S1.
Formula: (1 − α)·CE + α·T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)) + β·L_PT, with M = L_s − 1 and
    L_PT = mean_b Σ_j ‖nrm(h_s,j) − nrm(h_t,I(j))‖², j = 1..M, divided by M·d under `scale: elementmean`;
    I(j) = ⌊j·L_t/L_s + ½⌋ (skip) or the M layers below the teacher's last (last). Embeddings take no part.
Needs: logits and [CLS] of every layer of one teacher, cached; logits alone with β = 0.
Refuses: a student of one layer, a teacher with fewer layers than the student, several teachers, other class counts.
Defaults: skip and elementmean (the authors' code, the scale of their β); β = 100 of their 10, 100, 500, 1000, T = 5 and
    α = 0.5 as `kd` (our choices: S0 tunes them).
Differs from the source: KL sums over classes, theirs averages (`reduction: elementmean`); widths that differ get one
    bias-free projection on the student's side (D14), the source has equal widths.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, MethodOutput, TeacherStudent
from kdray.methods.layers import patient_differences, projected, refuse_shallow_teachers, student_projection
from kdray.methods.losses import log_probs
from kdray.methods.soft_labels import SoftLabels
from kdray.signals import Need


class PKD(SoftLabels):
    """Soft labels and normalized [CLS] vectors of one teacher.

    Attributes:
        beta: Weight of the [CLS] vectors; 0 is `kd`.
        layers: Which teacher layers are copied: spread evenly (`skip`) or the ones below the `last`.
        scale: The squared distances as a mean over layers and width, or as their sum.
    """

    title: ClassVar[str] = "Patient KD"
    source: ClassVar[str] = "Sun et al. 2019; S0 §4.2"

    name: Literal["pkd"] = "pkd"  # pyright: ignore[reportIncompatibleVariableOverride]
    beta: float = Field(default=100.0, ge=0, le=1e6)
    layers: Literal["skip", "last"] = "skip"
    scale: Literal["elementmean", "sum"] = "elementmean"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "PKD":
        if not self.alpha:
            self.refuse_idle(("temperature", "t2_scaling", "direction", "reduction"), because="alpha is 0")
        if not self.beta:
            self.refuse_idle(("layers", "scale"), because="beta is 0")
        return self

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "cls"}) if self.beta else frozenset({"logits"})

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if not self.beta:
            return
        if pair.student.layers < 2:
            raise ConfigError(
                "method pkd copies all layers but the last, and the student has one; give it two or set method.beta=0."
            )
        refuse_shallow_teachers(self.name, pair)

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        return student_projection(pair) if self.beta else nn.ModuleDict()

    def weights(self) -> dict[str, float]:
        names = {"hard": 1 - self.alpha, "kd": self.alpha}
        return names | ({"layers": self.beta} if self.beta else {})

    def terms(self, step: Batch) -> MethodOutput:
        rows = self.kl(
            log_probs(step.teachers[0].logits, self.temperature), step.student.logits, reduction=self.reduction
        )
        terms = {"kd": LossTerm(rows)}
        if self.beta:
            terms["layers"] = LossTerm(self._patience(step))
        return MethodOutput(terms, queries={"teacher": terms["kd"].covered()})

    def _patience(self, step: Batch) -> Float[Tensor, " batch"]:
        student, teacher = step.student.cls, step.teachers[0].cls
        assert student is not None
        assert teacher is not None
        apart = patient_differences(projected(step.adapters, student), teacher, self.layers)
        return apart.mean((1, 2)) if self.scale == "elementmean" else apart.sum((1, 2))
