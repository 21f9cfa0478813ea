"""The whole method of S0: it is its ensemble, and a pull between sentence vectors."""

import methods_oracle as oracle
import numpy as np
import pytest
import torch
from method_steps import logits_step

from kdray.errors import ConfigError
from kdray.methods import CKDSP, RLKD, EnsU, EnsW
from kdray.testing.steps import pair_for, step_for
from kdray.train import SingleRank, objective


def loss(method, step):
    return objective(method, step, SingleRank()).loss


@pytest.mark.parametrize(
    ("ways", "inner"),
    [
        ({}, EnsU()),
        ({"combine": "logit", "temperature": 2.0}, EnsU(combine="logit", temperature=2.0)),
        ({"combine_teachers": "w", "alpha": 0.2}, EnsW(alpha=0.2)),
        ({"combine_teachers": "rlkd"}, RLKD(temperature=5.0)),
        (
            {"combine_teachers": "rlkd", "reward_number": 3, "gamma": 0.3, "ensemble_epochs": 2},
            RLKD(temperature=5.0, reward_number=3, gamma=0.3, ensemble_epochs=2),
        ),
    ],
    ids=str,
)
def test_loss_equals_that_of_the_inner_ensemble(ways, inner):
    method = CKDSP(**ways)
    pair = pair_for(method)
    step = step_for(method, pair)
    torch.testing.assert_close(loss(method, step), loss(inner, step_for(inner, pair)), rtol=0, atol=1e-12)
    assert method.reward == inner.reward
    assert method.needs == inner.needs


@pytest.mark.parametrize("combine", ["prob", "logit"])
def test_the_whole_loss_against_numpy(combine):
    random = np.random.default_rng(0)
    student, *teachers = (2 * random.standard_normal((8, 3)) for _ in range(4))
    y = np.arange(8) % 3
    step = logits_step(student, teachers, y)
    target = oracle.ensemble(teachers, 5.0, combine)
    soft = 25 * oracle.kl(target, oracle.softmax(student, 5.0)).mean()
    expected = 0.7 * oracle.cross_entropy(student, y).mean() + 0.3 * soft
    assert loss(CKDSP(alpha=0.3, combine=combine), step).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("student_width", [6, 4])
def test_sentence_vectors_against_numpy(student_width):
    method, plain = CKDSP(eta=0.3), CKDSP()
    pair = pair_for(method, student_width=student_width)
    step = step_for(method, pair)
    own = step.student.sent_emb.detach().numpy()
    if student_width != 6:
        own = own @ step.adapters.project.weight.detach().numpy().T
    other = np.mean([teacher.sent_emb.numpy() for teacher in step.teachers], axis=0)
    cosine = (own * other).sum(1) / np.linalg.norm(own, axis=1) / np.linalg.norm(other, axis=1)
    assert method.terms(step).terms["sentences"].values.tolist() == pytest.approx((1 - cosine).tolist(), abs=1e-9)
    expected = loss(plain, step).item() + 0.3 * (1 - cosine).mean()
    assert loss(method, step).item() == pytest.approx(expected, abs=1e-9)


def test_phases():
    def phases(**settings):
        return [(p.name, p.epochs, p.scored) for p in CKDSP(**settings).phases(2)]

    assert phases() == [("ensemble", 1, False), ("ckdsp", 2, True)]
    assert phases(ensemble_epochs=0, combine_teachers="w") == [("ckdsp", 2, True)]
    turns = [("student", 1, True), ("policy", 1, False), ("student", 1, True)]
    assert phases(combine_teachers="rlkd") == [("ensemble", 1, False), ("policy", 1, False), *turns]
    method = CKDSP(combine_teachers="rlkd", eta=0.1)
    assert [p.method == method for p in method.phases(2)] == [False, True, True, True, True]


def test_a_policy_learns_through_it():
    method = CKDSP(combine_teachers="rlkd", eta=0.1)
    inner = RLKD(temperature=5.0)
    pair = pair_for(method)
    outer, bare = step_for(method, pair), step_for(inner, pair)
    for _ in range(2):
        method.learn(outer.detach(), method.terms(outer).detach(), None)
        inner.learn(bare.detach(), inner.terms(bare).detach(), None)
    assert outer.adapters.policy.rewards == 2
    for name, value in bare.adapters.policy.state_dict().items():
        assert torch.equal(outer.adapters.policy.state_dict()[name], value)


@pytest.mark.parametrize("gamma", [0.3, 0.9])
def test_a_policy_has_the_settings_that_were_given(gamma):
    soft = {"temperature": 3.0, "alpha": 0.4, "t2_scaling": False, "direction": "reverse"}
    method = CKDSP(combine_teachers="rlkd", reward_number=3, gamma=gamma, ensemble_epochs=2, **soft)
    policy = RLKD(reward_number=3, gamma=gamma, ensemble_epochs=2, **soft)
    assert method._ensemble() == policy
    assert method.reward == policy.reward
    assert len(method.phases(3)) == len(policy.phases(3))


def test_settings_without_effect_are_refused():
    for settings in (
        {"gamma": 0.3},
        {"reward_number": 3},
        {"combine_teachers": "rlkd", "gamma": 0.3},
        {"combine_teachers": "rlkd", "combine": "logit"},
    ):
        with pytest.raises(ConfigError, match="would have no effect"):
            CKDSP(**settings)
    pair = pair_for(CKDSP())
    other = pair.teachers[0].__class__("large", 4, 9, 4, heads=2, tokenizer="same")
    mixed = pair.__class__(pair.student, (pair.teachers[0], other))
    CKDSP().check(mixed)
    with pytest.raises(ConfigError, match="averages vectors of teachers, but their widths are"):
        CKDSP(eta=0.1).check(mixed)
