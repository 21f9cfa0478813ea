"""Steps from plain numbers."""

from typing import Any

import torch
from torch import nn

from kdray.methods import Batch
from kdray.signals import Signals
from kdray.train import SingleRank


def logits_step(
    student, teachers, labels, *, assistant=None, student_cls=None, teacher_cls=None, adapters=None
) -> Batch:
    """A step from plain numbers, in float64."""

    def tensor(values: Any) -> Any:
        return None if values is None else torch.as_tensor(values, dtype=torch.float64)

    return Batch(
        student=Signals(tensor(student), tensor(student_cls)),
        teachers=tuple(Signals(tensor(z), tensor(teacher_cls)) for z in teachers),
        assistant=None if assistant is None else Signals(tensor(assistant)),
        labels=torch.as_tensor(labels),
        ranks=SingleRank(),
        key=(0, 0, 0),
        adapters=nn.ModuleDict() if adapters is None else adapters,
    )
