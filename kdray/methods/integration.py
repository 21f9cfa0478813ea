"""What the methods share that merge several teachers, of all classes (`ki_shared`) or of some each (`ki_split`).

With subsets no gold label takes part, as in the papers: `alpha` must then be 1, the weight that leaves nothing to them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, TeacherStudent


def check_gold_labels(method: str, pair: TeacherStudent, *, alpha: float) -> None:
    """Refuse gold labels with teachers that score only some classes.

    Raises:
        ConfigError: With what to set.
    """
    if alpha != 1 and any(teacher.known is not None for teacher in pair.teachers):
        raise ConfigError(
            f"method {method} learns without gold labels from teachers of some classes each (ki_split), but "
            f"method.alpha = {alpha:g} leaves them a weight; set method.alpha=1."
        )


def check_disjoint(method: str, pair: TeacherStudent) -> None:
    """Refuse teachers whose logits cannot be concatenated: they score subsets of classes that overlap.

    Raises:
        ConfigError: Naming a teacher.
    """
    if all(teacher.known is None for teacher in pair.teachers):
        return
    taken: set[int] = set()
    for teacher in pair.teachers:
        known = set(range(pair.student.classes) if teacher.known is None else teacher.known)
        if both := sorted(taken & known):
            raise ConfigError(
                f"method {method} puts the teachers' logits side by side, but {teacher.name} scores the classes {both} "
                "that another teacher scores; give each teacher classes of its own."
            )
        taken |= known


def classes_of(step: Batch) -> list[list[int]]:
    """The classes that each teacher scores."""
    everything = list(range(step.student.logits.shape[1]))
    if not step.known:
        return [everything for _ in step.teachers]
    return [everything if known is None else list(known) for known in step.known]


def joint_logits(step: Batch) -> Float[Tensor, "batch classes"]:
    """The teachers' logits as one: their mean if all score all classes, else side by side."""
    parts = [teacher.logits for teacher in step.teachers]
    if all(known is None for known in step.known):
        return torch.stack(parts).mean(0)
    order = [index for classes in classes_of(step) for index in classes]
    joint = torch.empty_like(step.student.logits, dtype=parts[0].dtype)
    joint[:, order] = torch.cat(parts, dim=1)
    return joint
