"""What the loop tells a method of every step."""

from typing import ClassVar

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from kdray.methods import UHC, Batch, FineTune, MethodOutput
from kdray.signals import Signals
from kdray.train import Hooks, SingleRank, TrainingData, TrainSettings, fit

CLASSES = 4


class Told(FineTune):
    """Remembers what it was told."""

    steps: ClassVar[list[Batch]] = []

    def terms(self, step: Batch) -> MethodOutput:
        self.steps.append(step)
        return MethodOutput({})


class Fixed:
    """A teacher of some classes, in some order."""

    def __init__(self, logits: torch.Tensor, classes: tuple[int, ...]) -> None:
        self._logits = logits[:, list(classes)]

    def signals_for(self, indices: np.ndarray, device: torch.device, needs: frozenset[str]) -> Signals:
        return Signals(self._logits[indices])


def train(method, *, known=(), teachers=(), **settings):
    rows = tiny.random_rows(7, seed=5, classes=CLASSES)
    student = tiny.classifier(seed=1, classes=CLASSES, layers=1)
    result = fit(
        student,
        method=method,
        adapters=nn.ModuleDict(),
        data=TrainingData(rows, teachers, known=known),
        settings=TrainSettings.model_validate({"precision": "fp32", "max_length": tiny.MAX_LENGTH} | settings),
        hooks=Hooks(score=lambda _: 0.0, report=lambda _: None, checkpoints=tiny.NoCheckpoints(), title="tiny"),
        ranks=SingleRank(),
        device=torch.device("cpu"),
    )
    return [epoch["loss"] for epoch in result.history]


def test_classes_that_teachers_know():
    logits = torch.randn(7, CLASSES, generator=torch.Generator().manual_seed(0))
    method, everything = UHC(alpha=1), tuple(range(CLASSES))
    plain = train(method, teachers=[Fixed(logits, everything)] * 2, epochs=2)
    orders = ((2, 0, 3, 1), (3, 1, 0, 2))
    ordered = train(method, known=orders, teachers=[Fixed(logits, each) for each in orders], epochs=2)
    assert ordered == pytest.approx(plain, rel=1e-5)
    halves = ((0, 3), (1, 2))
    split = train(method, known=halves, teachers=[Fixed(logits, each) for each in halves], epochs=2)
    assert split[0] != pytest.approx(plain[0], rel=1e-2)


def test_how_much_of_the_training_is_done():
    Told.steps.clear()
    train(Told(), epochs=2, batch_size=4, accumulate=2)
    assert [step.progress for step in Told.steps] == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
