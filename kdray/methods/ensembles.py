"""What the ensembles share: the one KL to a target, and how good each teacher is."""

import torch
from jaxtyping import Float
from torch import Tensor

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, MethodOutput, TeacherLogits, all_asked
from kdray.methods.losses import Logits, mean_of_labels
from kdray.methods.soft_labels import SoftLabels


def soft_terms(step: Batch, target: Logits, settings: SoftLabels, *, of_one: bool = False) -> MethodOutput:
    """The one term `kd` of every ensemble.

    Args:
        of_one: The target is the output of one teacher; the others were not queried.
    """
    student = step.task.distributions(step.student.logits)
    assert student is not None, "values have no target distribution"
    term = LossTerm(mean_of_labels(settings.kl(target, student, reduction=settings.reduction)))
    return MethodOutput({"kd": term}, queries={"teacher": term.covered()} if of_one else all_asked(step, term))


def labeled(outputs: TeacherLogits, *, method: str, split: str) -> TeacherLogits:
    """The rows that have a label.

    Raises:
        ConfigError: None has.
    """
    rows = outputs.labels >= 0
    if not rows.any():
        raise ConfigError(
            f"method {method} weighs teachers by the labels of the {split} rows, but none of these has a label and a "
            "prediction of every teacher."
        )
    return TeacherLogits(outputs.labels[rows], tuple(logits[rows] for logits in outputs.teachers))


def accuracies(outputs: TeacherLogits) -> Float[Tensor, " teachers"]:
    """The share of rows that each teacher gets right."""
    return torch.stack([(logits.argmax(-1) == outputs.labels).float().mean() for logits in outputs.teachers])
