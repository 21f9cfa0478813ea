"""Numbers worked out outside kdray: the standard fixture, and every method's own check."""

import dataclasses

import methods_oracle as oracle
import numpy as np
import pytest
import torch
from method_steps import logits_step

from kdray.methods import (
    KD,
    TMKD,
    DeKD,
    EnsBest,
    EnsRand,
    EnsU,
    FineTune,
    PriorOutputs,
    TeacherLogits,
)
from kdray.methods.dekd import informative_layers
from kdray.methods.losses import (
    cross_entropy_rows,
    ensemble_log_probs,
    entropy_rows,
    kl_rows,
    log_probs,
    mse_rows,
    soft_cross_entropy_rows,
)
from kdray.methods.selection import most, uncertainty
from kdray.train import SingleRank, objective

ZT = [[2, 1, 0.1], [0.5, 2.5, -1]]
ZU = [[1.5, 0.5, 0], [1, 1.8, -0.5]]
ZS = [[1, 1.5, 0.5], [0.2, 1, 0.3]]
Y = [0, 1]

# The four rows of the selection check, with their teacher and assistant.
Z4 = [[3, 0, 0], [1, 0.9, 0.8], [2, 1.9, -1], [0.5, 0, -0.5]]
T4 = [[4, 0, -1], [1.5, 0.5, 0.2], [2.5, 1, -1], [1, 0.2, -0.8]]
A4 = [[3.5, 0.2, -0.8], [1.2, 0.8, 0.3], [2.2, 1.4, -0.9], [0.8, 0.3, -0.6]]
Y4 = [0, 1, 0, 2]


def near(value):
    return pytest.approx(value, abs=1e-6)


def wide(values):
    return torch.tensor(values, dtype=torch.float64)


def kd_of(**settings):
    return KD(**settings).terms(logits_step(ZS, [ZT], Y)).terms["kd"].values


def total(method, step):
    return objective(method, step, SingleRank()).loss.item()


def test_softmax_of_the_fixture():
    assert log_probs(wide(ZT), 1.0).exp()[0].tolist() == near([0.659001, 0.242433, 0.098566])
    assert log_probs(wide(ZT), 1.0).exp()[1].tolist() == near([0.116115, 0.857977, 0.025909])
    assert log_probs(wide(ZS), 1.0).exp()[0].tolist() == near([0.307196, 0.506480, 0.186324])
    assert log_probs(wide(ZS), 1.0).exp()[1].tolist() == near([0.230909, 0.513897, 0.255194])


def test_cross_entropy_of_the_fixture():
    rows = cross_entropy_rows(wide(ZS), torch.tensor(Y))
    assert rows.tolist() == near([1.180270, 0.665732])
    assert rows.mean().item() == near(0.923001)
    assert total(FineTune(), logits_step(ZS, [], Y)) == near(0.923001)


@pytest.mark.parametrize(
    ("direction", "rows", "mean"),
    [("forward", [0.261598, 0.300672], 0.281135), ("reverse", [0.257334, 0.479080], 0.368207)],
)
def test_kd_at_temperature_1(direction, rows, mean):
    found = kd_of(temperature=1, direction=direction)
    assert found.tolist() == near(rows)
    assert found.mean().item() == near(mean)


@pytest.mark.parametrize(
    ("settings", "mean"),
    [
        ({"t2_scaling": False}, 0.017632),
        ({}, 0.440799),
        ({"t2_scaling": False, "direction": "reverse"}, 0.017928),
        ({"direction": "reverse"}, 0.448188),
        ({"reduction": "elementmean"}, 0.146933),
    ],
)
def test_kd_at_temperature_5(settings, mean):
    assert kd_of(temperature=5, **settings).mean().item() == near(mean)


def test_soft_cross_entropy_of_the_fixture():
    for temperature, mean in ((1, 0.942548), (5, 1.089658)):
        rows = soft_cross_entropy_rows(log_probs(wide(ZT), temperature), wide(ZS), temperature=temperature)
        assert rows.mean().item() == near(mean)


def test_logit_mse_of_the_fixture():
    assert mse_rows(wide(ZT), wide(ZS)).mean().item() == near(0.906667)
    assert kd_of(kd_term="mse").mean().item() == near(0.906667)


def test_kd_gradient_of_the_fixture():
    step = logits_step(ZS, [ZT], Y)
    step.student.logits.requires_grad_()
    KD(temperature=5).terms(step).terms["kd"].values.mean().backward()
    gradient = 2 * step.student.logits.grad[0]
    assert gradient.tolist() == near([-0.336803, 0.200062, 0.136742])
    expected = 5 * (oracle.softmax(ZS, 5) - oracle.softmax(ZT, 5))[0]
    assert gradient.tolist() == near(expected.tolist())


def test_vanilla_kd_total():
    assert total(KD(temperature=5, alpha=0.5), logits_step(ZS, [ZT], Y)) == near(0.681900)


def test_a_zero_of_the_target_adds_nothing():
    target = wide([[1.0, 0.0]]).log()
    assert kl_rows(target, wide([[0.25, 0.75]]).log()).item() == near(np.log(4))


def test_uniform_ensemble_of_the_fixture():
    average = ensemble_log_probs([wide(ZT), wide(ZU)], [0.5, 0.5], temperature=1, combine="prob").exp()
    assert average[0].tolist() == near([0.643766, 0.236828, 0.119405])
    assert average[1].tolist() == near([0.203041, 0.751655, 0.045304])
    step = logits_step(ZS, [ZT, ZU], Y)
    for settings, mean in (
        ({"temperature": 1}, 0.212263),
        ({"temperature": 5}, 0.311735),
        ({"temperature": 5, "combine": "logit"}, 0.311057),
    ):
        assert EnsU(**settings).terms(step).terms["kd"].values.mean().item() == near(mean)
    assert total(EnsU(temperature=5, alpha=0.5), step) == near(0.617368)


def test_weighted_ensemble_is_kl_to_the_average():
    weights = [0.9 / 1.7, 0.8 / 1.7]
    student = log_probs(wide(ZS), 1)
    average = ensemble_log_probs([wide(ZT), wide(ZU)], weights, temperature=1, combine="prob")
    assert kl_rows(average, student).mean().item() == near(0.215302)
    apart = [w * kl_rows(log_probs(wide(z), 1), student).mean() for w, z in zip(weights, (ZT, ZU), strict=True)]
    assert sum(apart).item() == near(0.231905)


def test_uncertainties_of_four_rows():
    z = wide(Z4)
    assert entropy_rows(log_probs(z, 1)).tolist() == near([0.366594, 1.095287, 0.792905, 1.020191])
    assert uncertainty(z, "entropy").tolist() == near([0.333688, 0.996973, 0.721733, 0.928618])
    assert uncertainty(z, "least_confidence").tolist() == near([0.090557, 0.632835, 0.488393, 0.493520])
    margin = [0.864164, 0.034940, 0.048686, 0.199285]
    assert uncertainty(z, "margin_literal").tolist() == near(margin)
    assert uncertainty(z, "margin").tolist() == near([1 - m for m in margin])


@pytest.mark.parametrize(
    ("strategy", "rows"),
    [("entropy", [1, 3]), ("least_confidence", [1, 3]), ("margin", [1, 2]), ("margin_literal", [0, 3])],
)
def test_half_of_four_rows_is_selected(strategy, rows):
    step = logits_step(Z4, [T4], Y4)
    output = DeKD(strategy=strategy, r=0.5, assistant=False, lambda3=0).terms(step)
    assert output.terms["kd_teacher"].covered().nonzero().flatten().tolist() == rows
    assert output.queries["teacher"].nonzero().flatten().tolist() == rows


def test_ties_break_by_the_smaller_index():
    same, everything = torch.zeros(5), torch.ones(5, dtype=torch.bool)
    assert most(same, everything, 0.5, SingleRank(), at_least=1).tolist() == [True, True, False, False, False]
    eligible = torch.tensor([False, True, False, True, True])
    assert most(same, eligible, 0.7, SingleRank(), at_least=0).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(("rows", "r", "kept"), [(10, 0.3, 3), (10, 0.7, 7), (100, 0.29, 29), (3, 0.1, 1), (1, 0.5, 1)])
def test_selection_keeps_the_floor_and_at_least_one(rows, r, kept):
    """0.29 * 100 is 28.999999999999996 in binary; 29 rows are meant."""
    values, everything = torch.arange(float(rows)), torch.ones(rows, dtype=torch.bool)
    assert most(values, everything, r, SingleRank(), at_least=1).sum().item() == kept


def test_teacher_and_assistant_share_the_rows():
    output = DeKD(r=1, lambda3=0, t2_scaling=False).terms(logits_step(Z4, [T4], Y4, assistant=A4))
    teacher, assistant = output.terms["kd_teacher"], output.terms["kd_assistant"]
    assert assistant.covered().nonzero().flatten().tolist() == [1, 3]
    assert teacher.covered().nonzero().flatten().tolist() == [0, 2]
    assert teacher.values[teacher.covered()].mean().item() == near(0.010341)
    assert assistant.values[assistant.covered()].mean().item() == near(0.001142)


DOA_TEACHER = [[9, 9, 9, 9], [1, 2, 3, 4], [0.1, 0.1, 0.1, 0.1], [5, 0, 0, 0], [1, 1, 2, 0]]  # the first is embeddings
DOA_STUDENT = [[9, 9, 9, 9], [0.5, 0.5, 0.5, 0.5], [1, 0, 1, 1]]


def test_alignment_takes_the_richest_layers_in_order_of_depth():
    teacher = wide(DOA_TEACHER)[1:].unsqueeze(0)
    assert (entropy_rows(torch.log_softmax(teacher, -1)) / np.log(4))[0].tolist() == near(
        [0.683503, 1, 0.085897, 0.839942]
    )
    layers = informative_layers(teacher, torch.tensor([True]), keep=2, granularity="batch", ranks=SingleRank())
    assert layers.tolist() == [[1, 3]]  # layers 2 and 4
    step = logits_step(Z4[:1], [T4[:1]], Y4[:1], student_cls=[DOA_STUDENT], teacher_cls=[DOA_TEACHER])
    assert DeKD(assistant=False, r=1).terms(step).terms["layers"].values.tolist() == near([0.585786])


@pytest.mark.parametrize(("t2_scaling", "expected"), [(True, 0.646698), (False, 0.564019)])
def test_dekd_total(t2_scaling, expected):
    soft = DeKD(r=1, t2_scaling=t2_scaling, lambda1=0, lambda2=1, lambda3=0)
    sum_of_both = total(soft, logits_step(Z4, [T4], Y4, assistant=A4))
    assert sum_of_both == near(0.287079 if t2_scaling else 0.011483)
    step = logits_step(Z4, [T4], Y4, assistant=A4, student_cls=[DOA_STUDENT] * 4, teacher_cls=[DOA_TEACHER] * 4)
    assert total(DeKD(r=1, t2_scaling=t2_scaling), step) == near(expected)


def test_hard_labels_over_all_rows_or_the_selected_ones():
    step = logits_step(Z4, [T4], Y4)
    rows = oracle.cross_entropy(Z4, np.array(Y4))
    assert rows.mean() == near(0.886833)
    off = {"lambda2": 0, "lambda3": 0, "lambda1": 1}
    assert total(DeKD(ce_on="all", **off), step) == near(rows.mean())
    assert total(DeKD(ce_on="selected", **off), step) == near(rows[[1, 3]].mean())


def test_queries_count_every_queried_teacher():
    step = logits_step(ZS, [ZT, ZU, ZT], Y)
    known = dataclasses.replace(
        step, prepared=EnsBest().prepare(PriorOutputs(*[TeacherLogits(step.labels, (wide(ZT),) * 3)] * 2))
    )
    everyone = {"teacher": 3 * len(Y)}
    for method, expected in (
        (EnsU(), everyone),
        (TMKD(), everyone),
        (EnsRand(), {"teacher": len(Y)}),
        (EnsBest(), {"teacher": len(Y)}),
    ):
        found = objective(method, known, SingleRank()).queries
        assert {name: int(number) for name, number in found.items()} == expected, method.name


def test_queries_count_every_queried_model():
    step = logits_step(Z4, [T4], Y4, assistant=A4, student_cls=[DOA_STUDENT] * 4, teacher_cls=[DOA_TEACHER] * 4)
    aligned = DeKD(r=1).terms(step).queries  # the alignment asks the teacher for uncertain rows too
    assert {name: int(mask.sum()) for name, mask in aligned.items()} == {"teacher": 4, "assistant": 2}
    without = DeKD(r=1, lambda3=0).terms(step).queries
    assert {name: int(mask.sum()) for name, mask in without.items()} == {"teacher": 2, "assistant": 2}


def test_random_selection_is_a_function_of_the_key():
    def chosen(key):
        step = logits_step([[0, 0, 0.0]] * 40, [[[0, 0, 0.0]] * 40], [0] * 40)
        method = DeKD(strategy="random", assistant=False, lambda3=0)
        return method.terms(step.__class__(**{**step.__dict__, "key": key})).queries["teacher"].tolist()

    assert sum(chosen((0, 0, 0))) == 20
    assert chosen((0, 0, 0)) == chosen((0, 0, 0))
    assert len({tuple(chosen(key)) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}) == 4
