"""Soft labels first, hard ones afterwards."""

import numpy as np
import pytest
from method_steps import logits_step
from methods_oracle import softmax

from kdray.methods import PD, FineTune
from kdray.train import SingleRank, objective

ZT, ZS = [[2, 1, 0.1], [0.5, 2.5, -1]], [[1, 1.5, 0.5], [0.2, 1, 0.3]]


def loss(method, step):
    return objective(method, step, SingleRank()).loss.item()


def test_soft_cross_entropy_of_the_fixture():
    step = logits_step(ZS, [ZT], [0, 1])
    assert loss(PD(), step) == pytest.approx(0.942548, abs=1e-6)
    assert loss(PD(temperature=5), step) == pytest.approx(1.089658, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 3.0])
def test_soft_labels_need_no_hard_ones(temperature):
    student, teacher = (2 * np.random.default_rng(k).standard_normal((9, 4)) for k in range(2))
    expected = -(softmax(teacher, temperature) * np.log(softmax(student, temperature))).sum(1).mean()
    method = PD(temperature=temperature)
    assert loss(method, logits_step(student, [teacher], [-1] * 9)) == pytest.approx(expected, abs=1e-9)
    assert loss(method, logits_step(student, [teacher], np.arange(9) % 4)) == pytest.approx(expected, abs=1e-9)


def test_phases():
    soft, tuning = PD().phases(3)
    assert (soft.epochs, soft.scored, tuning.epochs, tuning.scored) == (3, False, 3, True)
    assert soft.schedule != tuning.schedule
    assert tuning.method == FineTune()
    assert PD(soft_epochs=7).phases(3)[0].epochs == 7
