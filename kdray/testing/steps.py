"""Steps for any method: random signals of two models, with teachers that know something of the labels."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdray.methods import Batch, Method, MethodOutput, Phase, PriorOutputs, TeacherLogits, TeacherStudent
from kdray.models import ModelInfo
from kdray.signals import TEACHER_NEEDS, Signals
from kdray.train import SingleRank

ROWS = 12
TOKENS = 5
TRAIN_ROWS = 64  # of a training; a step has the first ones


@dataclass(frozen=True)
class Case:
    """A method with settings, in one of its phases."""

    method: Method
    phase: Phase

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(self.phase.method.needs)

    def terms(self, step: Batch) -> MethodOutput:
        return self.phase.method.terms(step)


def cases_of(method: Method) -> list[Case]:
    """One for each kind of phase; phases that come again are the same case."""
    found: dict[str, Case] = {}
    for phase in method.phases(4):
        found.setdefault(phase.name, Case(method, phase))
    return list(found.values())


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
) -> TeacherStudent:
    count = num_teachers(method) if teachers is None else teachers
    return TeacherStudent(
        ModelInfo("student", student_layers, student_width, classes, heads=2, tokenizer="same"),
        tuple(ModelInfo(f"teacher{k}", layers, width, classes, heads=2, tokenizer="same") for k in range(count)),
        ModelInfo("assistant", 3, width, classes, heads=2, tokenizer="same") if method.uses_assistant else None,
        rows=TRAIN_ROWS,
    )


def random_signals(facts: ModelInfo, generator: torch.Generator, *, rows: int = ROWS) -> Signals:
    """Every signal there is; the last rows are padded by one and two tokens."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    qkv = draw(rows, facts.layers, 3, TOKENS, facts.width)
    lengths = torch.tensor([TOKENS] * max(0, rows - 2) + [TOKENS - 1, TOKENS - 2])[:rows]
    return Signals(
        logits=2 * draw(rows, facts.classes),
        cls=draw(rows, facts.layers + 1, facts.width),
        sent_emb=draw(rows, facts.width),
        mc_probs=torch.softmax(draw(rows, facts.classes), dim=-1),
        hidden=draw(rows, facts.layers + 1, TOKENS, facts.width),
        attn=draw(rows, facts.layers, facts.heads, TOKENS, TOKENS),
        qkv=qkv,
        qkv_last=qkv[:, -1].clone(),
        mask=torch.arange(TOKENS) < lengths.unsqueeze(1),
    )


def step_for(
    method: Method, pair: TeacherStudent, *, seed: int = 0, rows: int = ROWS, key: tuple[int, int, int] = (0, 0, 0)
) -> Batch:
    """A random step in float64; the student's signals take gradients."""
    generator = torch.Generator().manual_seed(seed)
    student = changed(random_signals(pair.student, generator, rows=rows), torch.Tensor.requires_grad_)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapters = method.adapters(pair).double()
    return Batch(
        student=student,
        teachers=tuple(random_signals(facts, generator, rows=rows) for facts in pair.teachers),
        assistant=random_signals(pair.assistant, generator, rows=rows) if pair.assistant else None,
        labels=torch.randint(0, pair.student.classes, (rows,), generator=generator),
        ranks=SingleRank(),
        key=key,
        adapters=adapters,
        prepared=method.prepare(evidence_for(pair)),
        rows=torch.arange(rows),
    )


def random_step(method: Method, pair: TeacherStudent, phase: Phase) -> Batch:
    """A step as a training has it: in float32, with the signals that the phase needs alone."""
    teachers = tuple(
        dataclasses.replace(each, layers=max(1, each.layers), width=max(1, each.width)) for each in pair.teachers
    )
    step = step_for(method, dataclasses.replace(pair, teachers=teachers, rows=TRAIN_ROWS))
    kept = {"logits", "mask", *phase.method.needs}

    def needed(signals: Signals, names: set[str]) -> Signals:
        found = {name: x for name, x in vars(signals).items() if name in names}
        return changed(Signals(**found), lambda x: x.detach().float())

    return dataclasses.replace(
        step,
        student=changed(needed(step.student, kept - TEACHER_NEEDS), torch.Tensor.requires_grad_),
        teachers=tuple(needed(each, kept) for each in step.teachers),
        assistant=None if step.assistant is None else needed(step.assistant, kept),
        adapters=step.adapters.float(),
        known=tuple(each.known for each in pair.teachers),
        phase=phase.name,
    )


def floats(signals: Signals) -> dict[str, Tensor]:
    """The signals that have gradients: all but the mask."""
    return {name: x for name, x in vars(signals).items() if x is not None and x.is_floating_point()}


def changed(signals: Signals, change: Callable[[Tensor], Tensor]) -> Signals:
    """With `change` applied to every signal but the mask."""
    return dataclasses.replace(signals, **{name: change(x) for name, x in floats(signals).items()})


def rearranged(signals: Signals | None, rows: Tensor) -> Any:
    return None if signals is None else signals.each(lambda x: x[rows])


def evidence_for(pair: TeacherStudent) -> PriorOutputs:
    """Teachers who know something of the labels, the later ones more."""
    generator = torch.Generator().manual_seed(99)

    def answers(rows: int) -> TeacherLogits:
        labels = torch.randint(0, pair.student.classes, (rows,), generator=generator)
        right = torch.eye(pair.student.classes)[labels]
        return TeacherLogits(
            labels,
            tuple(
                torch.randn(rows, each.classes, generator=generator) + (1 + number) * right[:, : each.classes]
                for number, each in enumerate(pair.teachers)
            ),
        )

    scores = tuple(float(number) for number in range(len(pair.teachers)))
    return PriorOutputs(answers(40), answers(20), lambda: scores)
