"""What methods that copy layers share: which teacher layer a student layer copies, projections, means over tokens.

Layers count from 1; index 0 of `cls` and `hidden` is the embedding output.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.methods.contract import TeacherStudent
from kdray.methods.losses import unit, wide

PROJECTION_STD = 0.02


def middle_depth(student: int, teacher: int) -> int:
    """⌈√(student·teacher)⌉ layers, the geometric middle: 6 between 3 and 12, 9 between 6 and 12, as S1 Figure 3."""
    return math.isqrt(student * teacher - 1) + 1


def uniform_layers(student: int, teacher: int) -> tuple[int, ...]:
    """g(i) = ⌊i·teacher/student + ½⌋ for i = 1..student, of two depths: spread evenly, the last layer in."""
    return tuple((2 * i * teacher + student) // (2 * student) for i in range(1, student + 1))


def patient_layers(student: int, teacher: int, which: Literal["skip", "last"]) -> tuple[int, ...]:
    """I(j) of PKD for j = 1..student − 1: spread evenly, or those just below the last one. No last layer takes part."""
    if which == "skip":
        return uniform_layers(student, teacher)[:-1]
    return tuple(range(teacher - student + 1, teacher))


def patient_differences(
    student: Float[Tensor, "batch student_layers width"],
    teacher: Float[Tensor, "batch teacher_layers width"],
    which: Literal["skip", "last"],
) -> Float[Tensor, "batch copied width"]:
    """The squared differences of PKD: of [CLS] vectors of every layer, those copied, scaled to length 1."""
    wanted = patient_layers(student.shape[1] - 1, teacher.shape[1] - 1, which)
    return (unit(wide(student[:, 1:-1])) - unit(wide(teacher[:, list(wanted)]))).square()


def refuse_shallow_teachers(method: str, pair: TeacherStudent) -> None:
    """
    Raises:
        ConfigError: A teacher has fewer layers than the student that copies them.
    """
    for teacher in pair.teachers:
        if teacher.layers < pair.student.layers:
            raise ConfigError(
                f"method {method} copies layers: {teacher.name} has {teacher.layers}, the student "
                f"{pair.student.layers}; make the student as shallow as its teachers or shallower."
            )


def projection(narrow: int, into: int) -> nn.Linear:
    """A map between widths without a bias, small at first (docs/decisions.md D14)."""
    linear = nn.Linear(narrow, into, bias=False)
    nn.init.normal_(linear.weight, std=PROJECTION_STD)
    return linear


def student_projection(pair: TeacherStudent) -> nn.ModuleDict:
    """The adapters of a method that compares vectors: a projection of the student's, where widths differ."""
    student, teacher = pair.student.width, pair.teachers[0].width
    return nn.ModuleDict() if student == teacher else nn.ModuleDict({"project": projection(student, teacher)})


def projected(adapters: nn.Module, states: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows other"]:
    """The student's vectors in the teacher's width, by the adapters of `student_projection`."""
    if "project" not in dict(adapters.named_children()):
        return wide(states)
    return map_vectors(adapters.get_submodule("project"), states)


def map_vectors(linear: nn.Module, states: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows other"]:
    """States through a `projection` or a head, in at least float32."""
    return F.linear(wide(states), *map(wide, linear.parameters()))


def token_mean(
    values: Float[Tensor, "batch parts tokens"], mask: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch parts"]:
    """The mean over each row's own real tokens, whatever it was padded to."""
    real = mask.unsqueeze(1)
    return torch.where(real, values, 0.0).sum(-1) / real.sum(-1).clamp(min=1)


def state_rows(
    student: Float[Tensor, "batch layers tokens width"],
    teacher: Float[Tensor, "batch layers tokens width"],
    mask: Bool[Tensor, "batch tokens"],
) -> Float[Tensor, " batch"]:
    """The sum over layers of the mean squared difference over a row's real tokens and the width."""
    return token_mean((wide(student) - wide(teacher)).square().mean(-1), mask).sum(-1)
