"""Soft labels of classic students, by the fixture of the specification and by hand."""

import dataclasses

import pytest
import torch
from method_steps import logits_step

from kdray.errors import ConfigError
from kdray.methods import KD, FineTune, SoftClassic, TeacherStudent
from kdray.models import ModelInfo
from kdray.train import SingleRank, objective

ZT, ZU, ZS = [[2, 1, 0.1], [0.5, 2.5, -1]], [[1.5, 0.5, 0], [1, 1.8, -0.5]], [[1, 1.5, 0.5], [0.2, 1, 0.3]]
FIRST = [[0.659001, 0.242433, 0.098566], [0.116115, 0.857977, 0.025909]]  # the softmax of ZT


def test_teachers_are_blended_with_gold_labels() -> None:
    found = SoftClassic(blend=0.7).soft_labels(logits_step(ZS, [ZT], [0, 1]))
    expected = [[0.7 * p + 0.3 * (c == y) for c, p in enumerate(row)] for row, y in zip(FIRST, [0, 1], strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected).to(found), rtol=0, atol=1e-6)


def test_a_temperature_and_several_teachers_come_before_the_blend() -> None:
    found = SoftClassic(blend=1, temperature=2).soft_labels(logits_step(ZS, [ZT, ZU], [0, 1]))
    each = [(torch.tensor(z) / 2).softmax(-1) for z in (ZT, ZU)]
    torch.testing.assert_close(found, ((each[0] + each[1]) / 2).to(found), rtol=0, atol=1e-6)


def test_rows_without_a_label_or_a_prediction_have_the_other_alone() -> None:
    step = dataclasses.replace(logits_step(ZS, [ZT], [-1, 1]), predicted=torch.tensor([True, False]))
    found = SoftClassic().soft_labels(step)
    torch.testing.assert_close(found, torch.tensor([FIRST[0], [0, 1, 0]]).to(found), rtol=0, atol=1e-6)
    nothing = dataclasses.replace(step, predicted=torch.tensor([False, False]))
    assert SoftClassic().soft_labels(nothing).sum(1).tolist() == [0, 1]
    assert FineTune().soft_labels(step).tolist() == [[0, 0, 0], [0, 1, 0]]


def test_students_of_steps_minimize_the_cross_entropy_to_the_same_labels() -> None:
    step, method = logits_step(ZS, [ZT], [0, 1]), SoftClassic(blend=0.25)
    rows = -(method.soft_labels(step) * torch.log_softmax(step.student.logits, -1)).sum(-1)
    assert objective(method, step, SingleRank()).loss.item() == pytest.approx(rows.mean().item(), abs=1e-6)


def test_a_method_of_steps_is_refused_for_a_student_that_is_fitted() -> None:
    pair = TeacherStudent(ModelInfo("naive_bayes", 1, 0, 3, gives=("logits",), fitted=True), (ModelInfo("t", 2, 4, 3),))
    SoftClassic().check(pair)
    with pytest.raises(ConfigError, match=r"kd trains by steps, but naive_bayes is fitted at once.*soft_classic"):
        KD().check(pair)
