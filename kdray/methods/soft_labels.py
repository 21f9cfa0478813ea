"""The settings of soft labels, which the methods with a KL to a target distribution share."""

from pydantic import Field

from kdray.methods.contract import Method
from kdray.methods.losses import Direction, Logits, Reduction, Rows, kd_rows


class SoftTargets(Method):
    """A method with a KL to a target distribution.

    Attributes:
        temperature: Softens both distributions; above 0. Of several teachers, each before they are combined.
        t2_scaling: Multiply by T², so that gradients keep their size when the temperature changes.
        direction: `forward` is KL(target ‖ student), `reverse` is KL(student ‖ target).
    """

    temperature: float = Field(default=5.0, gt=0, le=1000)
    t2_scaling: bool = True
    direction: Direction = "forward"

    def kl(self, target: Logits, student: Logits, *, reduction: Reduction = "batchmean") -> Rows:
        """The KL of each row between a target and the student.

        Args:
            target: Log-probabilities at `temperature`.
            student: Logits.
        """
        return kd_rows(
            target,
            student,
            temperature=self.temperature,
            t2_scaling=self.t2_scaling,
            direction=self.direction,
            reduction=reduction,
        )


class SoftLabels(SoftTargets):
    """A method whose loss is the hard labels' and one KL.

    Attributes:
        alpha: Weight of the KD term, 0 to 1; the hard labels get 1 − alpha.
        reduction: `elementmean` divides the KL by the number of classes.
    """

    alpha: float = Field(default=0.5, ge=0, le=1)
    reduction: Reduction = "batchmean"

    def weights(self) -> dict[str, float]:
        return {"hard": 1 - self.alpha, "kd": self.alpha}
