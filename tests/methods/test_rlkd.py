"""The policy over teachers: worked numbers, one step of learning against numpy, and that it learns whom to avoid."""

import dataclasses

import numpy as np
import oracle_ensembles as oracle
import pytest
import torch
from method_steps import logits_step
from methods_oracle import cross_entropy

from kdray.errors import ConfigError
from kdray.methods import RLKD, EnsU
from kdray.methods.policy import PENDING, Policy, log_odds_gradient, rewards_of, sample_teachers, selected_teachers
from kdray.signals import Signals
from kdray.testing.checks import taken
from kdray.testing.steps import pair_for, step_for
from kdray.train import SingleRank, objective

ZT, ZU, ZS = [[2, 1, 0.1], [0.5, 2.5, -1]], [[1.5, 0.5, 0], [1, 1.8, -0.5]], [[1, 1.5, 0.5], [0.2, 1, 0.3]]


def near(value, tolerance=1e-6):
    return pytest.approx(value, abs=tolerance)


class Probe:
    """A student of a known accuracy that counts how often it was asked."""

    def __init__(self, accuracy=0.8):
        self.value, self.asked = accuracy, 0

    def accuracy(self):
        self.asked += 1
        return self.value

    def cross_entropy(self):
        raise AssertionError("no reward reads it")


def wide(values):
    return torch.tensor(values, dtype=torch.float64)


def fixture_step(method, *, bias=0.0, weight=0.0):
    step = logits_step(ZS, [ZT, ZU], [0, 1])
    vector = wide([[0.3, -0.1, 0.5], [0.2, 0.9, -0.4]])
    policy = method.adapters(pair_for(method, classes=3, teachers=2, width=3, student_width=3)).double()
    policy.policy.bias += bias
    policy.policy.weight += weight
    teachers = tuple(dataclasses.replace(t, sent_emb=vector) for t in step.teachers)
    student = dataclasses.replace(step.student, sent_emb=vector)
    return dataclasses.replace(step, student=student, teachers=teachers, adapters=policy, rows=torch.arange(2))


def learn(method, step, probe=None):
    method.learn(step.detach(), method.terms(step).detach(), probe or Probe())


def test_an_agent_of_the_check():
    policy = Policy(1, 3, rows=0).double()
    policy.weight.copy_(wide([[0.1, -0.2, 0.3]]))
    policy.bias.fill_(0.05)
    odds = policy.selection_logits(wide([[[1, 0.5, 2]]]))
    assert odds.sigmoid().item() == near(0.657010)
    assert torch.nn.functional.logsigmoid(odds).item() == near(-0.420055)
    assert torch.nn.functional.logsigmoid(-odds).item() == near(-1.070055)
    assert log_odds_gradient(torch.tensor([[True]]), odds).item() == near(0.342990)
    assert log_odds_gradient(torch.tensor([[False]]), odds).item() == near(-0.657010)


def test_both_teachers_of_the_fixture():
    method = RLKD(temperature=5)
    step = fixture_step(method, bias=50.0)  # both are surely chosen
    kd = method.terms(step).terms["kd"].values.mean().item()
    assert kd == near(0.335799)
    ce = cross_entropy(np.array(ZS), np.array([0, 1])).mean()
    for number, reward in ((1, -0.923001), (2, -1.258800), (3, -0.229400)):
        assert rewards_of(number, ce=ce, kd=kd, accuracy=0.8, gamma=0.5) == near(reward)
        other = RLKD(temperature=5, reward_number=number)
        fresh = fixture_step(other, bias=50.0)
        learn(other, fresh)
        assert fresh.adapters.policy.baseline.item() == near(reward)  # the first reward is the usual one


def test_the_likeliest_teacher_is_used_if_none_is_sampled():
    nobody, some = torch.tensor([[False, False, False]]), torch.tensor([[False, True, True]])
    odds = wide([[-3, -1, -1]])
    assert selected_teachers(nobody, odds).tolist() == [[False, True, False]]
    assert selected_teachers(some, odds).tolist() == some.tolist()
    method = RLKD(temperature=5)
    step = fixture_step(method)
    step.adapters.policy.bias.copy_(wide([-60, -50]))
    alone = oracle.kd(ZU, ZS, 5.0)
    assert method.terms(step).terms["kd"].values.tolist() == near(alone.tolist())


@pytest.mark.parametrize("policy", ["per_teacher", "joint"])
@pytest.mark.parametrize("sentence", ["teacher", "student"])
@pytest.mark.parametrize(("number", "gamma"), [(1, 0.5), (2, 0.5), (3, 0.3)])
@pytest.mark.parametrize(("classes", "count"), [(2, 2), (3, 4)])
def test_terms_and_learning_against_the_oracle(policy, sentence, number, gamma, classes, count):
    method = RLKD(policy=policy, sentence=sentence, reward_number=number, gamma=gamma, temperature=4, policy_rate=0.05)
    pair = pair_for(method, classes=classes, teachers=count, width=5, student_width=7)
    step = step_for(method, pair, rows=9)
    state, random = step.adapters.policy, np.random.default_rng(3)
    weight, bias = 0.3 * random.standard_normal(state.weight.shape), 0.5 * random.standard_normal(count)
    state.weight.copy_(torch.from_numpy(weight))
    state.bias.copy_(torch.from_numpy(bias))
    baseline = spread = None
    for k in range(4):
        step = dataclasses.replace(step, key=(0, 1, k), labels=step.labels.roll(k), progress=k / 8)
        noise = torch.rand(9, count, generator=step.generator("policy")).double().numpy()
        z, y = [t.logits.numpy() for t in step.teachers], step.labels.numpy()
        student = step.student.logits.detach().numpy()
        text = (step.student.sent_emb.detach() if sentence == "student" else step.teachers[0].sent_emb).numpy()
        s = oracle.states(text, z, y, policy)
        pi = oracle.sigmoid((s * weight).sum(-1) + bias)
        _, heard_by = oracle.chosen(noise, pi)
        kd = oracle.mean_over_chosen(z, student, heard_by, 4.0)
        assert method.terms(step).terms["kd"].values.tolist() == near(kd.tolist(), 1e-9)
        total = objective(method, step, SingleRank()).loss.item()
        ce = cross_entropy(student, y).mean()
        assert total == near(0.5 * ce + 0.5 * kd.mean(), 1e-9)

        learn(method, step, Probe(0.7))
        every = -np.array(cross_entropy(student, y))
        losses = every - (number > 1) * kd
        rewards = losses if number < 3 else gamma * losses + (1 - gamma) * 0.7
        usual = rewards.mean() if baseline is None else baseline
        squares = ((rewards - usual) ** 2).mean()
        advantage = (rewards - usual) / np.sqrt(squares if spread is None else spread)
        slope = advantage[:, None] * (heard_by - pi)
        rate = 0.05 * (1 - k / 8)
        weight = weight + rate * np.einsum("bk,bks->ks", slope, s) / 9
        bias = bias + rate * slope.mean(0)
        spread = squares if baseline is None else 0.9 * spread + 0.1 * squares
        baseline = rewards.mean() if baseline is None else 0.9 * usual + 0.1 * rewards.mean()
        assert state.weight.numpy() == near(weight, 1e-9)
        assert state.bias.numpy() == near(bias, 1e-9)
        assert state.baseline.item() == near(baseline, 1e-9)
        assert state.spread.item() == near(spread, 1e-9)


def test_rows_are_paid_the_accuracy_at_the_end_of_their_episode():
    method, probe = RLKD(reward_number=3, episode_steps=2), Probe(0.5)
    step = fixture_step(method)
    policy = step.adapters.policy
    for number in range(3):  # the first episode ends after row 1, the second one with the epoch
        one = dataclasses.replace(taken(step, torch.tensor([number % 2])), key=(0, 1, number), phase="student")
        learn(method, one, probe)
        assert probe.asked == (number > 0)
    assert policy.accuracy[:2].tolist() == [PENDING, 0.5]
    probe.value = 0.9
    for _ in range(2):
        learn(method, dataclasses.replace(step, phase="policy"), probe)
    assert policy.accuracy[:2].tolist() == [0.9, 0.5]
    assert probe.asked == 2
    quiet = Probe()
    learn(RLKD(reward_number=2), step, quiet)
    assert not quiet.asked
    assert RLKD(reward_number=2).reward is None
    held_out = RLKD(reward_number=3).reward
    assert (held_out.rows, held_out.held_out) == (0.1, True)


def test_the_policy_is_rewarded_for_the_choices_that_the_student_learned_from():
    """In another order of rows, for another draw and for odds that have moved since."""
    method = RLKD(temperature=5)
    step = dataclasses.replace(fixture_step(method, weight=0.3), phase="student", key=(0, 1, 0))
    policy = step.adapters.policy
    odds = method._seen(step)[1]
    chosen = selected_teachers(sample_teachers(step, odds), odds)
    learn(method, step)
    assert policy.rewards == 0
    learned = method.terms(step).terms["kd"].values
    policy.bias -= 9
    order = torch.tensor([1, 0])
    replay = dataclasses.replace(taken(step, order), phase="policy", key=(0, 2, 0))
    _, logits = method._seen(replay)
    assert method.terms(replay).terms["kd"].values.tolist() == near(learned[order].tolist(), 1e-12)
    before = policy.bias.clone()
    learn(method, replay)
    rewards = (-torch.nn.functional.cross_entropy(step.student.logits, step.labels, reduction="none") - learned)[order]
    advantages = (rewards - rewards.mean()) / (rewards - rewards.mean()).square().mean().sqrt()
    slope = advantages[:, None] * (chosen[order].double() - logits.sigmoid())
    assert (policy.bias - before).tolist() == near((0.3 * slope.mean(0)).tolist(), 1e-9)


def test_phases():
    method = RLKD(temperature=3, alpha=0.2)
    phases = method.phases(3)
    turns = [("policy", "controller"), ("student", "both")]
    assert [(p.name, p.trains) for p in phases] == [("ensemble", "student"), *turns, *turns, *turns]
    assert phases[0].method == EnsU(temperature=3, alpha=0.2)
    assert sum(p.epochs for p in phases if p.scored) == 3
    assert RLKD(ensemble_epochs=0).phases(1)[0].name == "policy"


def test_settings_of_reward_3_are_refused_without_it():
    for settings in ({"gamma": 0.3}, {"episode_steps": 10}, {"gamma": 0.7, "reward_number": 1}):
        with pytest.raises(ConfigError, match="would have no effect, because reward_number is"):
            RLKD(**settings)
    RLKD(gamma=0.3, episode_steps=10, reward_number=3)


@pytest.mark.parametrize("policy", ["per_teacher", "joint"])
@pytest.mark.parametrize("number", [2, 3])
def test_a_teacher_with_random_outputs_is_avoided(policy, number):
    """A student that the good teachers have taught stands still; the second of three teachers says anything."""
    method = RLKD(policy=policy, reward_number=number, temperature=2, policy_rate=0.05)
    pair = pair_for(method, classes=3, width=4)
    generator, rows = torch.Generator().manual_seed(0), 8

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    adapters = method.adapters(pair)
    pis = []
    for k in range(400):
        labels = torch.randint(0, 3, (rows,), generator=generator)
        truth = 3.0 * torch.eye(3)[labels]
        text = normal(rows, 4)
        good = [Signals(truth + 0.5 * normal(rows, 3), sent_emb=text) for _ in range(2)]
        bad = Signals(3.0 * normal(rows, 3), sent_emb=text)
        step = dataclasses.replace(
            step_for(method, pair),
            student=Signals(truth + 0.5 * normal(rows, 3), sent_emb=text),
            teachers=(good[0], bad, good[1]),
            labels=labels,
            key=(0, k // 100, k % 100),
            rows=torch.arange(rows),
            adapters=adapters,
        )
        learn(method, step, Probe(0.9))
        if k >= 300:
            pis.append(method._seen(step)[1].sigmoid().mean(0))
    mean = torch.stack(pis).mean(0)
    assert mean[1] < min(mean[0], mean[2]) - 0.1, mean


def test_choices_depend_on_the_place_in_the_global_batch():
    """Two workers with every second row draw what one process draws."""

    class Share(SingleRank):
        def __init__(self, mine):
            self.mine = mine

        def gather(self, values):
            whole = values.new_zeros((8, *values.shape[1:]))
            return whole, self.mine

    method = RLKD()
    step, odds = fixture_step(method), torch.linspace(-1, 1, 16, dtype=torch.float64).view(8, 2)
    whole = sample_teachers(dataclasses.replace(step, ranks=Share(torch.arange(8))), odds)
    for mine in (torch.arange(0, 8, 2), torch.arange(1, 8, 2)):
        assert torch.equal(sample_teachers(dataclasses.replace(step, ranks=Share(mine)), odds[mine]), whole[mine])
