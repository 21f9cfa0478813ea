"""Random inputs of several sizes against float64 numpy formulas that share nothing with kdray."""

import methods_oracle as oracle
import numpy as np
import pytest
import torch
from method_steps import logits_step
from torch import nn

from kdray.methods import KD, DeKD, EnsU, FineTune
from kdray.train import SingleRank, objective


def drawn(seed, *shape):
    return 2 * np.random.default_rng(seed).standard_normal(shape)


def near(value):
    return pytest.approx(value, abs=1e-9)


def loss_of(method, step):
    return objective(method, step, SingleRank()).loss.item()


@pytest.mark.parametrize("classes", [2, 7])
def test_fine_tuning_over_the_labeled_rows(classes):
    student, y = drawn(1, 9, classes), np.arange(9) % classes
    y[[2, 5]] = -1
    known = y >= 0
    expected = oracle.cross_entropy(student[known], y[known]).mean()
    assert loss_of(FineTune(), logits_step(student, [], y)) == near(expected)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 5.0])
def test_vanilla_kd(classes, direction, temperature):
    student, teacher = drawn(1, 9, classes), drawn(2, 9, classes)
    y = np.arange(9) % classes
    method = KD(temperature=temperature, alpha=0.3, direction=direction)
    soft = oracle.kd(teacher, student, temperature, direction=direction).mean()
    expected = 0.7 * oracle.cross_entropy(student, y).mean() + 0.3 * soft
    assert loss_of(method, logits_step(student, [teacher], y)) == near(expected)


@pytest.mark.parametrize(("classes", "count"), [(2, 2), (3, 3), (5, 4)])
@pytest.mark.parametrize("combine", ["prob", "logit"])
def test_uniform_ensemble(classes, count, combine):
    student, teachers = drawn(1, 8, classes), [drawn(10 + k, 8, classes) for k in range(count)]
    y = np.arange(8) % classes
    target = oracle.ensemble(teachers, 4.0, combine)
    soft = 16 * oracle.kl(target, oracle.softmax(student, 4.0)).mean()
    expected = 0.5 * oracle.cross_entropy(student, y).mean() + 0.5 * soft
    assert loss_of(EnsU(temperature=4, combine=combine), logits_step(student, teachers, y)) == near(expected)


def test_kl_to_the_average_is_at_most_the_average_of_kls():
    student, teachers = drawn(1, 20, 3), [drawn(k, 20, 3) for k in (2, 3, 4)]
    rows = EnsU(temperature=2).terms(logits_step(student, teachers, [0] * 20)).terms["kd"].values.numpy()
    assert (rows <= np.mean([oracle.kd(z, student, 2.0) for z in teachers], axis=0) + 1e-12).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"r": 0.37, "strategy": "least_confidence"},
        {"strategy": "margin", "granularity": "instance"},
        {"strategy": "margin_literal", "ce_on": "selected", "temperature": 2.0},
        {"assistant": False, "direction": "reverse"},
        {"r": 1, "t2_scaling": False},
        {"r": 0.05},  # one row: nobody asks the assistant
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("classes", "layers", "student_layers", "width", "student_width"),
    [(2, 6, 3, 5, 5), (4, 12, 3, 8, 8), (3, 4, 4, 6, 4), (3, 5, 2, 3, 9)],
)
def test_dekd(seed, settings, classes, layers, student_layers, width, student_width):
    rows, method = 11, DeKD(**settings)
    student, teacher, assistant = (drawn(100 * seed + k, rows, classes) for k in range(3))
    student_cls = drawn(100 * seed + 4, rows, student_layers + 1, student_width)
    teacher_cls = drawn(100 * seed + 5, rows, layers + 1, width)
    y = np.arange(rows) % classes
    projection = drawn(6, width, student_width) if width != student_width else None
    adapters = nn.ModuleDict()
    if projection is not None:
        adapters["project"] = nn.Linear(student_width, width, bias=False).double()
        with torch.no_grad():
            adapters["project"].weight.copy_(torch.from_numpy(projection))
    step = logits_step(
        student, [teacher], y, assistant=assistant, student_cls=student_cls, teacher_cls=teacher_cls, adapters=adapters
    )
    expected, parts = oracle.dekd(
        student, teacher, assistant, student_cls, teacher_cls, y, method.model_dump(), projection
    )
    step_loss = objective(method, step, SingleRank())
    assert step_loss.loss.item() == near(expected)
    for name, value in step_loss.sums.items():
        assert value.item() / max(1, step_loss.counts[name].item()) == near(parts[name])


def test_the_adapter_has_no_bias_and_small_weights():
    from kdray.testing.steps import pair_for

    method = DeKD()
    torch.manual_seed(0)
    adapters = method.adapters(pair_for(method, width=300, student_width=200))
    assert adapters.project.bias is None
    assert adapters.project.weight.shape == (300, 200)  # from the student's width to the teacher's
    assert adapters.project.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not list(method.adapters(pair_for(method)).parameters())
    assert not list(DeKD(lambda3=0).adapters(pair_for(method, width=9)).parameters())


def test_assistants_lie_between_student_and_teacher():
    from kdray.errors import ConfigError

    assert DeKD().assistant_depths(student=3, teacher=12) == (6,)
    assert DeKD().assistant_depths(student=6, teacher=12) == (9,)
    assert DeKD().assistant_depths(student=3, teacher=6) == (5,)
    assert DeKD(ta_depth=6).assistant_depths(student=3, teacher=12) == (6,)
    for depth in (3, 12):
        with pytest.raises(ConfigError, match=rf"ta_depth = {depth}, but .* student's 3 .* 12 layers"):
            DeKD(ta_depth=depth).assistant_depths(student=3, teacher=12)
    with pytest.raises(ConfigError, match="uses no assistant"):
        KD().assistant_depths(student=3, teacher=12)


def test_alignment_needs_a_teacher_as_deep_as_the_student():
    from kdray.testing.steps import pair_for

    method = DeKD()
    with pytest.raises(BadInput_(), match="aligns 5 student layers, the teacher has 4"):
        method.check(pair_for(method, student_layers=5))
    DeKD(lambda3=0).check(pair_for(method, student_layers=5))


def BadInput_():
    from kdray.errors import ConfigError

    return ConfigError
