"""Vanilla knowledge distillation.

Source: Hinton et al. 2015; S0 §4.2, S1 eq. 1-3.
Formula: (1 − α)·CE(z_s, y) + α·T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)).
Needs: logits of one teacher, cached.
Refuses: several teachers, other class counts, one class.
Defaults: T = 5 (S1 §4.3), α = 0.5 (D10), T² on (D2), forward KL (D1). α and T stay as they are unless
    `alpha_end` or `temperature_end` is set.
Differs from the source: Hinton et al. weigh the soft part T² as here; α is the weight of the KD term (D5).
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from kdray.methods.contract import Batch, LossTerm, MethodOutput
from kdray.methods.losses import kd_rows, log_probs, mean_of_labels, mse_rows
from kdray.methods.soft_labels import SoftLabels


class KD(SoftLabels):
    """Soft labels of one teacher.

    Attributes:
        alpha_end: Alpha at the end of the training; it moves there linearly with the steps. None keeps it as it is.
        temperature_end: The temperature at the end of the training, in the same way.
        kd_term: `kl`, or `mse` between logits (temperature, T², direction and reduction are then refused).
    """

    title: ClassVar[str] = "Vanilla KD"
    source: ClassVar[str] = "Hinton et al. 2015; S0 §4.2; S1 eq. 1–3"

    any_task: ClassVar[bool] = True

    name: Literal["kd"] = "kd"  # pyright: ignore[reportIncompatibleVariableOverride]
    alpha_end: float | None = Field(default=None, ge=0, le=1, examples=[0.2])
    temperature_end: float | None = Field(default=None, gt=0, le=1000, examples=[1.0])
    kd_term: Literal["kl", "mse"] = "kl"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "KD":
        if self.kd_term == "mse":
            self.refuse_idle(
                ("temperature", "temperature_end", "t2_scaling", "direction", "reduction"), because="kd_term is mse"
            )
        if self.alpha_end == self.alpha:
            raise ValueError(f"alpha_end = {self.alpha_end} is alpha itself, so nothing would move; leave it out")
        if self.temperature_end == self.temperature:
            raise ValueError(
                f"temperature_end = {self.temperature_end} is temperature itself, so nothing would move; leave it out"
            )
        return self

    def schedule(self, step: Batch) -> dict[str, float]:
        if self.alpha_end is None:
            return {}
        alpha = self.alpha + (self.alpha_end - self.alpha) * step.progress
        return {"hard": 1 - alpha, "kd": alpha}

    def terms(self, step: Batch) -> MethodOutput:
        teacher, student = (step.task.distributions(each.logits) for each in (step.teachers[0], step.student))
        if self.kd_term == "mse" or teacher is None or student is None:
            rows = mse_rows(step.teachers[0].logits, step.student.logits)
        else:
            temperature = self._temperature(step)
            rows = kd_rows(
                log_probs(teacher, temperature),
                student,
                temperature=temperature,
                t2_scaling=self.t2_scaling,
                direction=self.direction,
                reduction=self.reduction,
            )
        term = LossTerm(mean_of_labels(rows))
        return MethodOutput({"kd": term}, queries={"teacher": term.covered()})

    def _temperature(self, step: Batch) -> float:
        """Of this step: it moves linearly, too."""
        end = self.temperature if self.temperature_end is None else self.temperature_end
        return self.temperature + (end - self.temperature) * step.progress
