"""The methods for tags of words: numbers worked by hand, and the schedule of the teachers."""

import dataclasses

import numpy as np
import pytest
import torch

from kdray.errors import ConfigError
from kdray.methods import Batch, PriorOutputs, TeacherLogits
from kdray.methods.ner_dyn import NERDyn
from kdray.methods.ner_mtckd import NERMTCKD
from kdray.signals import Signals
from kdray.testing.steps import pair_for
from kdray.train import SingleRank, objective

T1, T2, S = [[2.0, 0.0]], [[0.0, 2.0]], [[1.0, 0.0]]


def kd_of(teacher, student, temperature):
    """T²·KL of one row, in numpy."""
    p, q = (np.exp(np.array(z) / temperature) / np.exp(np.array(z) / temperature).sum() for z in (teacher, student))
    return float(temperature**2 * (p * np.log(p / q)).sum())


def step_of(*teachers, states=None, **more):
    def signals(logits, hidden):
        mask = None if hidden is None else torch.tensor([[True, True, False]])
        return Signals(torch.tensor(logits), hidden=hidden, mask=mask)

    student, others = (None, [None] * len(teachers)) if states is None else states
    return Batch(
        student=signals(S, student),
        teachers=tuple(signals(each, hidden) for each, hidden in zip(teachers, others, strict=True)),
        assistant=None,
        labels=torch.tensor([0]),
        ranks=SingleRank(),
        key=(0, 0, 0),
        adapters=torch.nn.ModuleDict(),
        **more,
    )


def test_dynamic_weights_move_from_the_teacher_to_the_labels():
    # one student layer copies the last of two; of two real tokens, 3 and 1 apart in one of two places: 5 / 2
    student = torch.zeros(1, 2, 3, 2)
    teacher = torch.zeros(1, 3, 3, 2)
    teacher[0, 2, 0, 0], teacher[0, 2, 1, 1], teacher[0, 2, 2] = 3.0, 1.0, 50.0
    teacher[0, 1] = 7.0  # not copied
    method = NERDyn(temperature=1.0)
    kd, ce, layers = kd_of(T1[0], S[0], 1.0), np.log(1 + np.exp(-1.0)), (9 / 2 + 1 / 2) / 2
    for progress in (0.0, 0.25, 1.0):
        step = step_of(T1, states=(student, [teacher]), progress=progress)
        loss = objective(method, step, SingleRank()).loss.item()
        assert loss == pytest.approx((1 - progress) * (kd + layers) + progress * ce, rel=1e-5)


def test_dynamic_weights_refuse_a_teacher_shallower_than_the_student():
    with pytest.raises(ConfigError, match=r"^method ner_dyn copies layers: teacher0 has 4, the student 5; make the"):
        NERDyn().check(pair_for(NERDyn(), student_layers=5))


def test_a_narrower_student_gets_a_projection():
    pair = pair_for(NERDyn(), student_width=4)
    shapes = [tuple(each.shape) for each in NERDyn().adapters(pair).parameters()]
    assert shapes == [(pair.teachers[0].width, 4)]


@pytest.mark.parametrize(
    ("scores", "current"),
    [
        ((), 0),
        ((0.2,), 0),  # nothing to compare with
        ((0.2, 0.3), 0),
        ((0.2, 0.2009), 1),  # 0.09 points
        ((0.2, 0.201), 0),  # 0.1 points
        ((0.2, 0.1, 0.15), 2),  # better than before, but not than the best
        ((0.2, 0.1, 0.3, 0.4, 0.4), 2),
        ((0.2, 0.2, 0.2, 0.2), 0),  # three teachers: the first again
    ],
)
def test_teachers_change_where_the_score_does_not_rise(scores, current):
    assert NERMTCKD().teacher_at(scores)[0] % 3 == current


def test_training_ends_after_a_cycle_without_a_gain():
    method = NERMTCKD()
    assert [method.ends([0.5, *[0.5] * idle], teachers=2) for idle in (0, 1, 2)] == [False, False, True]
    assert not method.ends([0.5, 0.5, 0.6, 0.6], teachers=2)
    assert not method.ends([0.0, 0.0, 0.0, 0.0], teachers=2)  # no entity was found yet
    assert [method.ends([0.0, 0.0, 0.1, *[0.1] * idle], teachers=2) for idle in (0, 1, 2)] == [False, False, True]


def test_the_weakest_teacher_comes_first_and_alone():
    nothing = TeacherLogits(torch.zeros(0), ())
    method = NERMTCKD(temperature=5.0)
    prepared = method.prepare(PriorOutputs(nothing, nothing, scores=lambda: (0.9, 0.8)))
    assert prepared["order"].tolist() == [1, 0]
    step = step_of(T1, T2, prepared=prepared)
    hard = np.log(1 + np.exp(-1.0))
    for scores, teacher in (((), T2), ((0.5, 0.5), T1)):
        found = objective(method, dataclasses.replace(step, scores=scores), SingleRank())
        assert found.loss.item() == pytest.approx(0.5 * hard + 0.5 * kd_of(teacher[0], S[0], 5.0), rel=1e-5)
        assert int(found.queries["teacher"]) == 1
