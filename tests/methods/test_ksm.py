"""KSM: three kinds of knowledge, and the actor-critic that picks among them."""

import dataclasses

import methods_oracle as oracle
import numpy as np
import pytest
import torch
from test_loss_fixtures import wide
from two_workers import as_two

from kdray.errors import ConfigError
from kdray.methods import KSM
from kdray.methods.actor_critic import ActorCritic, at_least_one
from kdray.methods.ksm import FEATURES
from kdray.methods.layers import patient_differences
from kdray.testing.steps import pair_for, step_for
from kdray.train import SingleRank, objective


def near(value, tolerance=1e-9):
    return pytest.approx(value, abs=tolerance)


class Probe:
    """A student whose losses are told beforehand."""

    def __init__(self, *losses):
        self.losses = list(losses)

    def cross_entropy(self):
        return self.losses.pop(0)

    def accuracy(self):
        raise AssertionError("KSM is rewarded for the loss")


def case(rows=9, **settings):
    method = KSM(**settings)
    pair = pair_for(method, classes=3, student_layers=3, layers=7)
    return method, step_for(method, pair, rows=rows)


def arrays(step):
    student, teacher = step.student, step.teachers[0]
    return [x.detach().numpy() for x in (student.logits, teacher.logits, student.cls, teacher.cls)]


def expected_parts(step, temperature=5.0):
    """Rows of the response and the feature term, and the relation loss, by plain loops."""
    z_s, z_t, h_s, h_t = arrays(step)
    depth, deep = h_s.shape[1] - 1, h_t.shape[1] - 1
    feature = np.zeros(len(z_s))
    for j in range(1, depth):
        wanted = h_t[:, int(np.floor(j * deep / depth + 0.5))]
        feature += ((oracle.normalized(h_s[:, j]) - oracle.normalized(wanted)) ** 2).sum(1)
    feature /= (depth - 1) * h_s.shape[2]
    cosines = [
        [[(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for b in h[:, -1]] for a in h[:, -1]] for h in (h_s, h_t)
    ]
    relation = ((np.array(cosines[0]) - np.array(cosines[1])) ** 2).mean()
    return oracle.kd(z_t, z_s, temperature), feature, relation


def test_features_are_those_of_patient_kd():
    """The number that methods of [CLS] vectors are checked by: two layers, below a last one that takes no part."""
    student = wide([[[9, 9, 9, 9], [1, 0, 0, 0], [1, 1, 0, 0], [5, 5, 5, 5]]])
    teacher = wide([[[9, 9, 9, 9], [1, 1, 0, 0], [0, 2, 0, 0], [5, 0, 0, 0]]])
    assert patient_differences(student, teacher, "skip").mean((1, 2)).tolist() == near([0.146447], 1e-6)


@pytest.mark.parametrize("settings", [{}, {"temperature": 2.0, "relation_weight": 3.0, "feature_weight": 0.5}])
def test_loss_is_the_sum_of_what_is_picked(settings):
    method, step = case(**settings)
    response, feature, relation = expected_parts(step, method.temperature)
    terms = method.terms(step).terms
    assert terms["response"].values.tolist() == near(response.tolist())
    assert terms["feature"].values.tolist() == near(feature.tolist())
    assert terms["relation"].values.tolist() == near([relation] * len(feature))
    hard = oracle.cross_entropy(arrays(step)[0], step.labels.numpy()).mean()
    controller = step.adapters.get_submodule("controller")
    for action in ([True, True, True], [True, False, False], [False, True, True]):
        controller.action.copy_(torch.tensor(action))
        weighted = (
            method.response_weight * response.mean(),
            method.feature_weight * feature.mean(),
            method.relation_weight * relation,
        )
        expected = hard + sum(part for part, picked in zip(weighted, action, strict=True) if picked)
        assert objective(method, step, SingleRank()).loss.item() == near(expected)


def learned(method, step, probe, steps, first=0, changes=lambda number: {}):
    for number in range(first, first + steps):
        moved = dataclasses.replace(step, key=(0, 0, number), **changes(number)).detach()
        method.learn(moved, method.terms(moved).detach(), probe)
    return step.adapters.get_submodule("controller")


def test_first_decision_rewards_nothing_and_the_second_the_first():
    method, step = case(interval=4)
    controller = step.adapters.get_submodule("controller")
    actor, critic = controller.actor.clone(), controller.critic.clone()
    learned(method, step, Probe(), 3)
    assert controller.action.all()  # everything, until something is known
    learned(method, step, Probe(1.3), 1, first=3)
    assert torch.equal(controller.actor, actor)
    assert controller.measured.item() == 1.3
    learned(method, step, Probe(1.1), 4, first=4)
    assert not torch.equal(controller.actor, actor)
    assert not torch.equal(controller.critic, critic)


def test_state_is_what_was_seen():
    method, step = case(interval=3)
    response, feature, relation = expected_parts(step)
    z = arrays(step)[0]
    labels = step.labels.clone()
    labels[[0, 4]] = -1
    seen = {"labels": labels, "progress": 0.25}
    controller = learned(method, step, Probe(1.0), 3, changes=lambda number: seen)
    known = labels.numpy() >= 0
    expected = [
        response.mean(),  # an average of equal values
        feature.mean(),
        relation,
        oracle.cross_entropy(z[known], labels.numpy()[known]).mean(),
        (oracle.entropy(oracle.softmax(z)) / np.log(3)).mean(),
        0.25,
        *[1.0] * 3,
    ]
    assert controller.state.tolist() == near(expected)
    assert len(expected) == FEATURES


def test_averages_forget():
    controller = ActorCritic(2, 5)
    for losses in ([1, 4], [2, 4], [3, 0]):
        controller.observe(wide(losses))
    assert controller.averages.tolist() == near([0.9 * (0.9 + 0.2) + 0.3, 0.9 * 4])


def loss_of(actor, critic, state, then, drawn, reward, discount, bonus):
    """Actor and critic loss by their formulas; δ is a constant for the actor, V(s′) for the critic."""
    s, after = np.append(state, 1.0), np.append(then, 1.0)
    error = reward + discount * float(CRITIC @ after) - critic @ s
    fixed = reward + discount * float(CRITIC @ after) - CRITIC @ s
    p = 1 / (1 + np.exp(-(actor @ s)))
    log_p = np.where(drawn, np.log(p), np.log(1 - p)).sum()
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).sum()
    return -fixed * log_p - bonus * entropy, error**2


CRITIC = np.random.default_rng(1).standard_normal(6)


@pytest.mark.parametrize("drawn", [[True, False, True], [False, False, False]])
def test_update_follows_the_gradient_of_both_losses(drawn):
    random = np.random.default_rng(0)
    actor, state, then = random.standard_normal((3, 6)), random.standard_normal(5), random.standard_normal(5)
    controller = ActorCritic(3, 5)
    for name, value in (("actor", actor), ("critic", CRITIC), ("state", state)):
        getattr(controller, name).copy_(torch.from_numpy(value))
    controller.drawn.copy_(torch.tensor(drawn))
    settings = {"reward": 0.4, "discount": 0.7, "bonus": 0.3}
    error = controller.improve(then=torch.from_numpy(then), rate=0.01, **settings)
    assert error == near(0.4 + 0.7 * CRITIC @ np.append(then, 1) - CRITIC @ np.append(state, 1))

    def gradient(which, at):
        found, h = np.zeros_like(at), 1e-6
        for place in np.ndindex(at.shape):
            ends = []
            for sign in (1, -1):
                moved = at.copy()
                moved[place] += sign * h
                pair = (moved, CRITIC) if which == 0 else (actor, moved)
                ends.append(loss_of(*pair, state, then, np.array(drawn), **settings)[which])
            found[place] = (ends[0] - ends[1]) / (2 * h)
        return found

    np.testing.assert_allclose(controller.actor.numpy(), actor - 0.01 * gradient(0, actor), atol=1e-9)
    np.testing.assert_allclose(controller.critic.numpy(), CRITIC - 0.01 * gradient(1, CRITIC), atol=1e-9)


def test_something_is_always_picked():
    odds = wide([-3, -1, -2])
    nothing, some = torch.tensor([False] * 3), torch.tensor([True, False, True])
    assert at_least_one(nothing, odds).tolist() == [False, True, False]
    assert at_least_one(some, odds).tolist() == some.tolist()
    assert at_least_one(nothing, wide([0, 0, 0])).tolist() == [True, False, False]


def test_actions_are_a_function_of_the_step():
    def actions(seed):
        method, step = case(interval=1)
        step = dataclasses.replace(step, key=(seed, 0, 0))
        found = []
        for number in range(12):
            moved = dataclasses.replace(step, key=(seed, 0, number)).detach()
            method.learn(moved, method.terms(moved).detach(), Probe(1.0))
            found.append(tuple(step.adapters.get_submodule("controller").action.tolist()))
        return found

    assert actions(0) == actions(0)
    assert actions(0) != actions(1)
    assert all(any(action) for action in actions(0))
    assert len(set(actions(0))) > 2


def test_learns_what_makes_the_student_better():
    """A world where only the first kind of knowledge helps: its odds rise above those of the kind that harms."""
    torch.manual_seed(0)
    controller, state = ActorCritic(3, 4), wide([1, 0, 1, 0])
    loss = 0.0
    for number in range(2000):
        controller.decide(state, measured=loss, generator=torch.Generator().manual_seed(number))
        helped = controller.action.double() @ wide([0.1, -0.1, 0.0])
        controller.improve(reward=float(helped), then=state, discount=0.9, bonus=0.0, rate=0.05)
    first, second, third = controller.odds(state).sigmoid().tolist()
    assert first > 0.8
    assert second < 0.2
    assert second < third < first


@pytest.mark.parametrize("rows", [1, 5, 8])
def test_two_uneven_workers_learn_as_one(rows):
    method, whole = case(rows=rows, interval=2)
    start = {name: value.clone() for name, value in whole.adapters.state_dict().items()}

    def work(step):
        leaves = {name: getattr(step.student, name).detach().clone().requires_grad_() for name in ("logits", "cls")}
        student = dataclasses.replace(step.student, **leaves)
        own = method.adapters(pair_for(method, classes=3)).double()
        own.load_state_dict(start)
        step = dataclasses.replace(step, student=student, adapters=own)
        step_loss = objective(method, step, step.ranks)
        gradients = torch.autograd.grad(step_loss.loss, list(leaves.values()))
        learned(method, step, Probe(2.0, 1.5, 1.7), 6)
        return step_loss.loss.item(), gradients, own.state_dict()

    loss, gradients, state = work(whole)
    both = as_two(whole, work)
    assert both[0][0] + both[1][0] == near(loss, 1e-12)
    for rank, (_, mine, trained) in enumerate(both):
        for part, expected in zip(mine, gradients, strict=True):
            torch.testing.assert_close(part, expected[rank::2])
        assert state["controller.actor"].ne(start["controller.actor"]).any()
        for name, value in trained.items():
            torch.testing.assert_close(value, state[name], rtol=1e-12, atol=1e-12)
            assert torch.equal(value, both[0][2][name])


def test_is_called_a_reconstruction():
    assert "reconstruction" in KSM.title
    assert "reconstruction" in KSM.source


def test_reward_rows_are_256_that_are_trained_on():
    reward = KSM().reward
    assert (reward.rows, reward.held_out) == (256, False)
    (phase,) = KSM().phases(3)
    assert phase.trains == "both"


def test_refuses_students_without_layers_to_copy():
    with pytest.raises(ConfigError, match="copies all layers but the last, and the student has one"):
        KSM().check(pair_for(KSM(), student_layers=1))
    with pytest.raises(ConfigError, match="teacher0 has 4, the student 5"):
        KSM().check(pair_for(KSM(), student_layers=5))
