"""TAKD: a chain of teacher assistants, each distilled from the one before it.

Source: Mirzadeh et al. 2020; S1, S2.
Formula: teacher → assistant 1 → … → student; every arrow is (1 − α)·CE + α·T²·KL(softmax(z_a/T) ‖ softmax(z_s/T))
    with z_a of the model before.
Needs: logits of one teacher and of the last assistant, cached.
Refuses: several teachers, other class counts, depths that do not decrease from the teacher's to the student's.
Defaults: T = 5, α = 0.5 as `kd`; one assistant in the geometric middle of teacher and student (S1 Figure 3: 6
    is best between 3 and 12, 9 between 6 and 12).
Differs from the source: T² on (D2); Mirzadeh et al. average the KL over classes too, which `reduction: elementmean`
    copies; the arrows before the last have the settings of the run's `assistant` section, which may be
    of another architecture and method.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, MethodOutput
from kdray.methods.layers import middle_depth
from kdray.methods.losses import log_probs
from kdray.methods.soft_labels import SoftLabels


class TAKD(SoftLabels):
    """Soft labels of the last assistant; the teacher is not used directly.

    Attributes:
        depths: Layers of each assistant, from the teacher downwards; None is one, in the geometric middle, rounded up.
    """

    title: ClassVar[str] = "TAKD (assistant chain)"
    source: ClassVar[str] = "Mirzadeh et al. 2020; S1"

    name: Literal["takd"] = "takd"  # pyright: ignore[reportIncompatibleVariableOverride]
    depths: tuple[Annotated[int, Field(ge=1, le=1000)], ...] | None = Field(default=None, examples=[(6, 4)])

    @field_validator("depths")
    @classmethod
    def _depths_fall(cls, depths: tuple[Annotated[int, Field(ge=1, le=1000)], ...] | None) -> tuple[int, ...] | None:
        if depths is not None and (not depths or sorted(set(depths), reverse=True) != list(depths)):
            raise ValueError(
                f"depths must decrease from the teacher to the student, such as [9, 6]; found {list(depths)}"
            )
        return depths

    @property
    def uses_assistant(self) -> bool:
        return True

    def assistant_depths(self, *, student: int, teacher: int) -> tuple[int, ...]:
        depths = self.depths or (middle_depth(student, teacher),)
        if not student < depths[-1] <= depths[0] < teacher:
            raise ConfigError(
                f"method.depths = {list(depths)}, but assistants lie between the student's {student} and the teacher's "
                f"{teacher} layers; if no depth is between them, use method kd."
            )
        return depths

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd_assistant": self.alpha}

    def terms(self, step: Batch) -> MethodOutput:
        assert step.assistant is not None
        target = log_probs(step.assistant.logits, self.temperature)
        term = LossTerm(self.kl(target, step.student.logits, reduction=self.reduction))
        return MethodOutput({"kd_assistant": term}, queries={"assistant": term.covered()})
