"""Pre-trained distillation: soft labels alone, then fine-tuning.

Source: Turc et al. 2019; S1.
Formula: first −Σ_c softmax(z_t/T)_c·log softmax(z_s/T)_c on every row, then mean CE(z_s, y).
Needs: logits of one teacher, cached, in the first phase; nothing of it in the second.
Refuses: several teachers, other class counts, one class.
Defaults: T = 1 (Turc et al.); as many epochs of soft labels as of fine-tuning (our choice: not given).
Differs from the source: the student's own pre-training is its encoder's; soft labels come on the task's rows, labeled
    or not; the kept epoch is one of the fine-tuning.
"""

from typing import ClassVar, Literal

from pydantic import Field

from kdray.methods.contract import Batch, LossTerm, Method, MethodOutput, Phase, Status
from kdray.methods.finetune import FineTune
from kdray.methods.losses import log_probs, soft_cross_entropy_rows


class PD(Method):
    """Learns from the teacher first and from the labels afterwards, never from both.

    Attributes:
        temperature: Softens both distributions of the first phase; above 0.
        soft_epochs: Of the first phase, in addition to the run's epochs; None is as many as these.
    """

    title: ClassVar[str] = "Pre-trained distillation"
    source: ClassVar[str] = "Turc et al. 2019; S1"
    status: ClassVar[Status] = "task variant"

    name: Literal["pd"] = "pd"  # pyright: ignore[reportIncompatibleVariableOverride]
    temperature: float = Field(default=1.0, gt=0, le=1000)
    soft_epochs: int | None = Field(default=None, ge=1, le=1000)

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        return (
            Phase("soft labels", self, self.soft_epochs or epochs, schedule="soft labels", scored=False),
            Phase("fine-tuning", FineTune(), epochs),
        )

    def weights(self) -> dict[str, float]:
        return {"hard": 0.0, "soft": 1.0}

    def terms(self, step: Batch) -> MethodOutput:
        target = log_probs(step.teachers[0].logits, self.temperature)
        term = LossTerm(soft_cross_entropy_rows(target, step.student.logits, temperature=self.temperature))
        return MethodOutput({"soft": term}, queries={"teacher": term.covered()})
