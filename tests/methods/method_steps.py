"""Steps for any method: random signals of models whose facts the method was told."""

from typing import Any

import torch
from torch import Tensor

from kdray.methods import Facts, Method, Pair, Step
from kdray.signals import Signals
from kdray.train import SingleRank

ROWS = 12


def num_teachers(method: Method) -> int:
    """As many as it takes: its most, or more than its least where there is no most."""
    return method.min_teachers + 1 if method.max_teachers is None else method.max_teachers


def pair_for(
    method: Method,
    *,
    classes: int = 4,
    teachers: int | None = None,
    student_layers: int = 2,
    layers: int = 4,
    width: int = 6,
    student_width: int = 6,
) -> Pair:
    count = num_teachers(method) if teachers is None else teachers
    return Pair(
        Facts("student", student_layers, student_width, classes),
        tuple(Facts(f"teacher{k}", layers, width, classes) for k in range(count)),
        Facts("assistant", 3, width, classes) if method.uses_assistant else None,
    )


def random_signals(facts: Facts, generator: torch.Generator, *, rows: int = ROWS) -> Signals:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Signals(
        logits=2 * draw(rows, facts.classes),
        cls=draw(rows, facts.layers + 1, facts.width),
        sent_emb=draw(rows, facts.width),
    )


def step_for(method: Method, pair: Pair, *, seed: int = 0, rows: int = ROWS, key: tuple[int, int, int] = (0, 0, 0)):
    """A random step in float64; the student's signals take gradients."""
    generator = torch.Generator().manual_seed(seed)
    student = random_signals(pair.student, generator, rows=rows)
    for tensor in (student.logits, student.cls, student.sent_emb):
        assert tensor is not None
        tensor.requires_grad_()
    torch.manual_seed(seed)
    return Step(
        student=student,
        teachers=tuple(random_signals(facts, generator, rows=rows) for facts in pair.teachers),
        assistant=random_signals(pair.assistant, generator, rows=rows) if pair.assistant else None,
        labels=torch.randint(0, pair.student.classes, (rows,), generator=generator),
        ranks=SingleRank(),
        key=key,
        adapters=method.adapters(pair).double(),
    )


def rearranged(signals: Signals | None, rows: Tensor) -> Any:
    if signals is None:
        return None
    return Signals(*(None if x is None else x[rows] for x in (signals.logits, signals.cls, signals.sent_emb)))


def logits_step(
    student, teachers, labels, *, assistant=None, student_cls=None, teacher_cls=None, adapters=None
) -> Step:
    """A step from plain numbers, in float64."""

    def tensor(values: Any) -> Any:
        return None if values is None else torch.as_tensor(values, dtype=torch.float64)

    return Step(
        student=Signals(tensor(student), tensor(student_cls)),
        teachers=tuple(Signals(tensor(z), tensor(teacher_cls)) for z in teachers),
        assistant=None if assistant is None else Signals(tensor(assistant)),
        labels=torch.as_tensor(labels),
        ranks=SingleRank(),
        key=(0, 0, 0),
        adapters=torch.nn.ModuleDict() if adapters is None else adapters,
    )
