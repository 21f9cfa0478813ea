"""Rows of words: within a step each word that the student reads is a row of its own, with one class."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdray.methods import Batch, TeacherLogits
from kdray.signals import Signals
from kdray.tasks import SINGLE_LABEL


def by_word(step: Batch, read: Bool[Tensor, "rows words"]) -> Batch:
    """The same step with logits, labels and `predicted` of words. Signals of tokens stay those of rows.

    Args:
        read: Which words the student reads. One that a teacher does not read is not `predicted`.
    """
    others = [each for each in (*step.teachers, step.assistant) if each is not None]
    known = [read_words(each.logits[read]) for each in others]
    return replace(
        step,
        student=replace(step.student, logits=step.student.logits[read]),
        teachers=tuple(_of_words(teacher, read) for teacher in step.teachers),
        assistant=_of_words(step.assistant, read) if step.assistant else None,
        labels=step.labels[read].clamp(min=-1),
        task=SINGLE_LABEL,
        predicted=torch.stack(known).all(0) if known else None,
        sequences=len(read),
    )


def read_words(logits: Float[Tensor, "*rows tags"]) -> Bool[Tensor, "*rows"]:
    """Of which words a model gives logits."""
    return logits.isnan().logical_not().all(-1)


def word_logits(
    labels: Int[Tensor, "rows words"], teachers: Sequence[Float[Tensor, "rows words tags"]]
) -> TeacherLogits:
    """Labels and teachers' logits of all words that every teacher reads."""
    known = [read_words(logits) for logits in teachers]
    read = torch.stack(known).all(0) if known else labels >= 0
    return TeacherLogits(labels[read].clamp(min=-1), tuple(logits[read] for logits in teachers))


def _of_words(signals: Signals, read: Bool[Tensor, "rows words"]) -> Signals:
    return replace(signals, logits=signals.logits[read].nan_to_num())
