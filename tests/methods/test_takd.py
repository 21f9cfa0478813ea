"""Chains of assistants."""

import numpy as np
import pytest
from method_steps import logits_step
from methods_oracle import cross_entropy, kd

from kdray.errors import ConfigError
from kdray.methods import KD, TAKD
from kdray.train import SingleRank, objective


def test_the_student_learns_from_the_assistant_alone():
    student, teacher, assistant = (2 * np.random.default_rng(k).standard_normal((9, 4)) for k in range(3))
    y = np.arange(9) % 4
    step = logits_step(student, [teacher], y, assistant=assistant)
    for settings in ({}, {"temperature": 2.0, "alpha": 0.3}, {"t2_scaling": False, "direction": "reverse"}):
        method = TAKD(**settings)
        soft = kd(assistant, student, method.temperature, t2=method.t2_scaling, direction=method.direction)
        expected = (1 - method.alpha) * cross_entropy(student, y).mean() + method.alpha * soft.mean()
        assert objective(method, step, SingleRank()).loss.item() == pytest.approx(expected, abs=1e-9)
    same = objective(KD(), logits_step(student, [assistant], y), SingleRank())
    assert objective(TAKD(), step, SingleRank()).loss.item() == pytest.approx(same.loss.item(), abs=1e-12)
    assert set(TAKD().terms(step).queries) == {"assistant"}


def test_depths_of_the_chain():
    assert TAKD().assistant_depths(student=3, teacher=12) == (6,)
    assert TAKD().assistant_depths(student=6, teacher=12) == (9,)
    assert TAKD(depths=(9, 6)).assistant_depths(student=3, teacher=12) == (9, 6)
    assert TAKD(depths=(11, 10, 9, 4)).assistant_depths(student=3, teacher=12) == (11, 10, 9, 4)
    for depths in ((12, 6), (9, 3)):
        with pytest.raises(ConfigError, match=r"depths = .* the student's 3 and the teacher's 12 layers"):
            TAKD(depths=depths).assistant_depths(student=3, teacher=12)
    with pytest.raises(ConfigError, match="use method kd"):
        TAKD().assistant_depths(student=5, teacher=6)
    for depths in ((), (6, 9), (6, 6)):
        with pytest.raises(ConfigError, match="depths must decrease from the teacher"):
            TAKD(depths=depths)
