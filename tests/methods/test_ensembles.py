"""The ensembles with other weights than equal ones: printed numbers, numpy oracles, and what a fit must get right."""

import dataclasses

import numpy as np
import oracle_ensembles as oracle
import pytest
import torch
from method_steps import logits_step
from methods_oracle import cross_entropy, softmax

from kdray.errors import ConfigError
from kdray.methods import (
    KD,
    EnsBest,
    EnsLRDev,
    EnsLRTrain,
    EnsRand,
    EnsU,
    EnsW,
    PriorOutputs,
    TeacherLogits,
)
from kdray.methods.fitted import fitted
from kdray.testing.steps import evidence_for, pair_for
from kdray.train import SingleRank, objective

ZT, ZU, ZS = [[2, 1, 0.1], [0.5, 2.5, -1]], [[1.5, 0.5, 0], [1, 1.8, -0.5]], [[1, 1.5, 0.5], [0.2, 1, 0.3]]
SOFT = [
    {},
    {"temperature": 1.5, "alpha": 0.2},
    {"t2_scaling": False, "direction": "reverse"},
]


def near(value, tolerance=1e-6):
    return pytest.approx(value, abs=tolerance)


def drawn(seed, *shape):
    return 2 * np.random.default_rng(seed).standard_normal(shape)


def answers(teachers, y):
    return TeacherLogits(
        torch.as_tensor(y), tuple(torch.as_tensor(np.asarray(z), dtype=torch.float64) for z in teachers)
    )


def evidence(teachers, y, train=None):
    return PriorOutputs(train=train or answers(teachers, y), validation=answers(teachers, y))


def knowing(seed, y, classes, strength):
    """Logits that know the labels as well as `strength` says."""
    return drawn(seed, len(y), classes) + strength * np.eye(classes)[y]


def step_of(method, student, teachers, y, known):
    return dataclasses.replace(logits_step(student, teachers, y), prepared=method.prepare(known))


def kd_mean(method, step):
    return method.terms(step).terms["kd"].values.mean().item()


def accurate(*shares):
    """Two-class teachers that are right on these shares of ten rows each."""
    y = np.zeros(10, dtype=int)
    return answers([[[1, 0]] * round(10 * s) + [[0, 1]] * (10 - round(10 * s)) for s in shares], y)


def test_weights_by_accuracy_of_the_fixture():
    method = EnsW(temperature=1)
    prepared = method.prepare(PriorOutputs(train=accurate(0.1, 0.9), validation=accurate(0.9, 0.8)))
    assert prepared["weights"].tolist() == near([0.529412, 0.470588])
    step = dataclasses.replace(logits_step(ZS, [ZT, ZU], [0, 1]), prepared=prepared)
    assert kd_mean(method, step) == near(0.215302)
    assert kd_mean(EnsW(temperature=1, shares=(9, 8)), step) == near(0.215302)


def test_equal_weights_are_the_uniform_ensemble_of_the_fixture():
    for settings, mean in (
        ({"temperature": 1}, 0.212263),
        ({"temperature": 5}, 0.311735),
        ({"temperature": 5, "combine": "logit"}, 0.311057),
    ):
        method = EnsW(shares=(2, 2), **settings)
        step = step_of(method, ZS, [ZT, ZU], [0, 1], evidence([ZT, ZU], [0, 1]))
        assert kd_mean(method, step) == near(mean)
        assert kd_mean(EnsU(**settings), step) == near(mean)
    assert objective(EnsW(shares=(1, 1)), step, SingleRank()).loss.item() == near(0.617368)


def test_the_best_teacher_alone_and_the_first_of_equals():
    known = PriorOutputs(train=accurate(1.0, 0.1, 0.1), validation=accurate(0.7, 0.9, 0.9))
    prepared = EnsBest().prepare(known)
    assert prepared["weights"].tolist() == [0, 1, 0]
    assert prepared["accuracy"].tolist() == near([0.7, 0.9, 0.9])
    step = dataclasses.replace(logits_step(ZS, [ZU, ZT, ZU], [0, 1]), prepared=prepared)
    assert kd_mean(EnsBest(), step) == near(0.440799)
    alone = KD().terms(logits_step(ZS, [ZT], [0, 1])).terms["kd"].values
    torch.testing.assert_close(EnsBest().terms(step).terms["kd"].values, alone, rtol=0, atol=1e-12)


def test_a_random_teacher_is_one_of_them_and_each_comes_as_often():
    teachers = [drawn(k, 6, 3) for k in range(3)]
    y, student = [0, 1, 2] * 2, drawn(9, 6, 3)
    alone = [KD().terms(logits_step(student, [z], y)).terms["kd"].values.tolist() for z in teachers]
    step = logits_step(student, teachers, y)
    picks = []
    for number in range(300):
        rows = EnsRand().terms(dataclasses.replace(step, key=(0, 0, number))).terms["kd"].values.tolist()
        picks.append(alone.index(rows))
    assert min(picks.count(k) for k in range(3)) > 70
    again = EnsRand().terms(dataclasses.replace(step, key=(0, 0, 7))).terms["kd"].values.tolist()
    assert alone.index(again) == picks[7]
    assert len({tuple(picks[k::50]) for k in range(50)}) > 25  # no period


@pytest.mark.parametrize("settings", SOFT, ids=str)
@pytest.mark.parametrize("kind", [EnsBest, EnsRand])
def test_a_single_teacher_against_numpy(kind, settings):
    """The loss is that of one teacher: the one most often right on validation, or any of them."""
    y = np.arange(7) % 3
    teachers, student = [knowing(k, y, 3, k) for k in range(3)], drawn(9, 7, 3)
    method = kind(**settings)
    found = objective(method, step_of(method, student, teachers, y, evidence(teachers, y)), SingleRank()).loss.item()
    t, alpha = settings.get("temperature", 5.0), settings.get("alpha", 0.5)
    ways = {"t2": settings.get("t2_scaling", True), "direction": settings.get("direction", "forward")}
    hard = (1 - alpha) * cross_entropy(student, y).mean()
    each = [hard + alpha * oracle.soft(softmax(z, t), student, t, **ways).mean() for z in teachers]
    right = [(z.argmax(1) == y).mean() for z in teachers]
    allowed = [each[int(np.argmax(right))]] if kind is EnsBest else each
    assert any(found == near(value, 1e-9) for value in allowed)


@pytest.mark.parametrize("settings", SOFT, ids=str)
@pytest.mark.parametrize("combine", ["prob", "logit"])
@pytest.mark.parametrize(("classes", "count"), [(2, 2), (3, 4), (6, 3)])
def test_weighted_ensembles_against_the_oracle(settings, combine, classes, count):
    y = np.arange(40) % classes
    teachers = [knowing(k, y, classes, 2 + k) for k in range(count)]
    student, many, z = (
        drawn(50, 12, classes),
        np.arange(12) % classes,
        [drawn(60 + k, 12, classes) for k in range(count)],
    )
    soft = {
        "temperature": settings.get("temperature", 5.0),
        "t2": settings.get("t2_scaling", True),
        "direction": settings.get("direction", "forward"),
    }
    alpha = settings.get("alpha", 0.5)
    fits = {
        EnsW: oracle.shares_by_accuracy(teachers, y),
        EnsLRDev: oracle.fitted_weights(teachers, y),
        EnsLRTrain: oracle.fitted_weights(teachers[::-1], y),
    }
    known = evidence(teachers, y, train=answers(teachers[::-1], y))
    for kind, weights in fits.items():
        method = kind(combine=combine, **settings)
        step = step_of(method, student, z, many, known)
        assert step.prepared["weights"].tolist() == near(weights.tolist())
        p = oracle.target(z, weights, soft["temperature"], combine)
        expected = (1 - alpha) * cross_entropy(student, many).mean() + alpha * oracle.soft(p, student, **soft).mean()
        assert objective(method, step, SingleRank()).loss.item() == near(expected, 2e-6)


@pytest.mark.parametrize(("classes", "count"), [(2, 2), (3, 2), (4, 3)])
@pytest.mark.parametrize("settings", SOFT, ids=str)
def test_stacking_against_the_oracle(classes, count, settings):
    y = np.arange(40) % classes
    teachers = [knowing(k, y, classes, 2 + k) for k in range(count)]
    student, z = drawn(50, 12, classes), [drawn(60 + k, 12, classes) for k in range(count)]
    matrix, bias = oracle.stacked(teachers, y)
    for kind in (EnsLRDev, EnsLRTrain):
        method = kind(mode="stacking", **settings)
        step = step_of(method, student, z, y[:12], evidence(teachers, y))
        seen = np.concatenate([softmax(each) for each in z], axis=1)
        p = softmax(seen @ matrix.T + bias, method.temperature)
        expected = oracle.soft(p, student, method.temperature, t2=method.t2_scaling, direction=method.direction)
        assert method.terms(step).terms["kd"].values.tolist() == near(expected.tolist(), 2e-5)


@pytest.mark.parametrize("seed", range(3))
def test_identical_teachers_get_equal_weights(seed):
    y = np.arange(60) % 3
    same = knowing(seed, y, 3, 2)
    assert fitted(answers([same, same], y), "weights", method="m", split="s")["weights"].tolist() == near([0.5, 0.5])


@pytest.mark.parametrize("seed", range(3))
def test_an_uninformative_teacher_gets_no_weight(seed):
    y = np.arange(60) % 3
    known = answers([knowing(seed, y, 3, 2), np.zeros((60, 3))], y)
    weights = fitted(known, "weights", method="m", split="s")["weights"]
    assert weights[1] < 0.01
    assert weights.sum().item() == near(1)


def test_teachers_that_are_worse_than_nothing_share_equally():
    y = np.arange(60) % 2
    wrong = knowing(0, 1 - y, 2, 8)
    assert fitted(answers([wrong, 0.5 * wrong], y), "weights", method="m", split="s")["weights"].tolist() == [0.5, 0.5]


def test_rows_without_a_label_are_left_out_of_every_weight():
    y = np.arange(30) % 3
    teachers = [knowing(k, y, 3, 2 + k) for k in range(2)]
    more = [np.concatenate([z, drawn(9, 5, 3)]) for z in teachers]
    gaps = np.concatenate([y, [-1] * 5])
    for method in (EnsW(), EnsBest(), EnsLRDev(), EnsLRTrain(), EnsLRTrain(mode="stacking")):
        whole, part = method.prepare(evidence(teachers, y)), method.prepare(evidence(more, gaps))
        for name, value in whole.items():
            torch.testing.assert_close(part[name], value, rtol=0, atol=1e-6)


def test_missing_labels_or_classes_are_refused():
    y = np.arange(30) % 3
    teachers = [knowing(k, y, 3, 2) for k in range(2)]
    blind = evidence(teachers, np.full(30, -1))
    for method in (EnsW(), EnsBest(), EnsLRDev(), EnsLRTrain()):
        with pytest.raises(ConfigError, match=f"method {method.name} .*none of these has a label and a prediction"):
            method.prepare(blind)
    two = y.clip(max=1)
    with pytest.raises(ConfigError, match="no validation row has class 2"):
        EnsLRDev(mode="stacking").prepare(evidence(teachers, two))
    EnsLRDev().prepare(evidence(teachers, two))
    with pytest.raises(ConfigError, match="no teacher is right"):
        EnsW().prepare(PriorOutputs(train=accurate(1.0), validation=accurate(0.0, 0.0)))
    with pytest.raises(ConfigError, match=r"2 method\.shares for 3 teachers"):
        EnsW(shares=(1, 2)).check(pair_for(EnsW()))
    for shares in ((), (0, 0)):
        with pytest.raises(ConfigError, match="shares are finite numbers"):
            EnsW(shares=shares)
    with pytest.raises(ConfigError, match=r"shares\.1 = -.*: expected 0 or more"):
        EnsW(shares=(1, -1))
    with pytest.raises(ConfigError, match="finite number"):
        EnsW(shares=(float("inf"), 1))
    with pytest.raises(ConfigError, match="combine would have no effect, because mode is stacking"):
        EnsLRTrain(mode="stacking", combine="logit")


def test_train_and_validation_give_different_weights():
    pair = pair_for(EnsLRTrain())
    known = evidence_for(pair)
    swapped = PriorOutputs(train=known.validation, validation=known.train)
    torch.testing.assert_close(EnsLRTrain().prepare(known), EnsLRDev().prepare(swapped))
    assert not torch.equal(EnsLRTrain().prepare(known)["weights"], EnsLRDev().prepare(known)["weights"])


@pytest.mark.parametrize(("wrong", "warned"), [(0, True), (1, False)])
def test_warns_on_overfitted_teachers(caplog, wrong, warned):
    labels = torch.arange(50) % 2
    said = 4.0 * torch.eye(2)[labels]
    selected_teachers = said.clone()
    selected_teachers[:wrong] = selected_teachers[:wrong].flip(1)  # one of 50 rows: 98 %
    answers = TeacherLogits(labels, (said, selected_teachers))
    EnsLRTrain().prepare(PriorOutputs(answers, answers))
    assert ("every teacher is right on 100.0 % of the train rows or more" in caplog.text) == warned
