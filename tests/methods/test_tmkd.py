"""TMKD: two stages, and every teacher by itself."""

import methods_oracle as oracle
import numpy as np
import pytest
import torch
from method_steps import logits_step
from test_loss_fixtures import ZS, ZT, ZU, Y, near, total, wide

from kdray.errors import ConfigError
from kdray.methods import TMKD
from kdray.methods.losses import cross_entropy_rows, ensemble_log_probs
from kdray.testing.steps import pair_for, step_for
from kdray.train import SingleRank, objective


def test_every_head_listens_to_its_teacher():
    """The numbers of methods.md 4.3."""
    gold, one, two = wide([[1, 1.5, 0.5]]), wide([[1.2, 0.8, 0.1]]), wide([[0.9, 0.7, 0.2]])
    method = TMKD(kd_term="kl", temperature=1)
    soft = method.distance_rows([wide(ZT[:1]), wide(ZU[:1])], [one, two])
    assert (0.5 * cross_entropy_rows(gold, torch.tensor([0])) + 0.5 * soft).tolist() == near([0.622985])
    prediction = ensemble_log_probs([gold, one, two], [1 / 3] * 3, temperature=1, combine="prob").exp()
    assert prediction[0].tolist() == near([0.412769, 0.398241, 0.188991])


def test_heads_of_their_own_read_the_last_cls_vector_and_leave_the_classifier_to_the_labels():
    method = TMKD(heads="multi", alpha=0.4)
    pair = pair_for(method, classes=3, teachers=2)
    step = step_for(method, pair)
    vectors = step.student.cls.detach().numpy()[:, -1]
    apart = []
    for number, teacher in enumerate(step.teachers):
        weight, bias = (parameter.detach().numpy() for parameter in step.adapters[number].parameters())
        assert (weight.shape, bias.shape) == ((3, 6), (3,))
        apart.append(((teacher.logits.numpy() - vectors @ weight.T - bias) ** 2).mean(1))
    hard = oracle.cross_entropy(step.student.logits.detach().numpy(), step.labels.numpy()).mean()
    assert total(method, step) == pytest.approx(0.6 * hard + 0.4 * np.mean(apart), abs=1e-9)
    (first, _) = method.phases(1)
    loss = objective(first.method, step, SingleRank()).loss
    assert loss.item() == pytest.approx(np.mean(apart), abs=1e-9)
    loss.backward()
    assert step.student.logits.grad.abs().sum() == 0
    assert step.student.cls.grad.abs().sum() > 0
    assert all(weight.grad.abs().sum() > 0 for weight in step.adapters.parameters())
    with pytest.raises(ConfigError, match="heads would have no effect, because alpha and first_epochs are 0"):
        TMKD(heads="multi", alpha=0, first_epochs=0)


def test_first_stage_has_no_labels_and_its_own_schedule():
    first, second = TMKD(first_epochs=2, kd_term="kl", alpha=0.3).phases(3)
    assert (first.epochs, first.scored, first.schedule != second.schedule) == (2, False, True)
    assert (second.epochs, second.scored) == (3, True)
    step = logits_step(ZS, [ZT, ZU], Y)
    apart = [((np.array(z) - np.array(ZS)) ** 2).mean() for z in (ZT, ZU)]
    assert apart[0] == near(0.906667)
    assert total(first.method, step) == near(np.mean(apart))
    hard = oracle.cross_entropy(np.array(ZS), np.array(Y)).mean()
    soft = np.mean([oracle.kd(z, ZS, 5.0).mean() for z in (ZT, ZU)])
    assert total(second.method, step) == near(0.7 * hard + 0.3 * soft)
    (only,) = TMKD(first_epochs=0).phases(3)
    assert total(only.method, step) == near(0.5 * hard + 0.5 * np.mean(apart))


@pytest.mark.parametrize(("classes", "count"), [(2, 2), (5, 4)])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kd_term": "kl"},
        {"kd_term": "kl", "temperature": 2.0, "t2_scaling": False},
        {"kd_term": "kl", "direction": "reverse", "alpha": 0.2},
    ],
    ids=str,
)
def test_random_inputs(classes, count, settings):
    random = np.random.default_rng(0)
    student, *teachers = (2 * random.standard_normal((7, classes)) for _ in range(count + 1))
    y, method = np.arange(7) % classes, TMKD(**settings)

    def distance(z):
        if method.kd_term == "mse":
            return ((z - student) ** 2).mean()
        return oracle.kd(z, student, method.temperature, t2=method.t2_scaling, direction=method.direction).mean()

    expected = (1 - method.alpha) * oracle.cross_entropy(student, y).mean()
    expected += method.alpha * np.mean([distance(z) for z in teachers])
    assert total(method, logits_step(student, teachers, y)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "idle", [{"temperature": 2.0}, {"t2_scaling": False}, {"direction": "reverse"}, {"alpha": 0, "kd_term": "kl"}]
)
def test_refuses_idle_settings(idle):
    with pytest.raises(ConfigError, match="would have no effect"):
        TMKD(**idle)
