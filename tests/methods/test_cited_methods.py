"""Methods that the papers cite: AE-KD, RAIL-KD, label smoothing, annealing; numbers by hand and by search."""

import dataclasses
import itertools

import pytest
import torch
from method_steps import logits_step

from kdray.errors import ConfigError
from kdray.methods import AEKD, KD, RAIL, EnsU, LabelSmoothing, MethodOutput
from kdray.methods.aekd import least_norm
from kdray.methods.rail import drawn_layers, mean_states
from kdray.testing.steps import pair_for, step_for
from kdray.train import SingleRank, objective

ZT, ZU = [[2, 1, 0.1], [0.5, 2.5, -1]], [[1.5, 0.5, 0], [1, 1.8, -0.5]]
ZS = [[1, 1.5, 0.5], [0.2, 1, 0.3]]
STEP = logits_step(ZS, [ZT], [0, 1])


def kd_of(output: MethodOutput) -> list[float]:
    return output.terms["kd"].values.tolist()


def test_two_gradients_are_weighed_as_the_closed_form_says() -> None:
    """The check of the specification, and a cap that binds."""
    vectors = torch.tensor([[[1.0, 0.0], [-0.5, 1.0]], [[1.0, 0.0], [3.0, 0.0]], [[2.0, 1.0], [2.0, 1.0]]])
    assert least_norm(vectors, 1.0).tolist() == [pytest.approx([0.538462, 0.461538], abs=1e-6), [1, 0], [0.5, 0.5]]
    assert least_norm(vectors, 0.52)[0].tolist() == pytest.approx([0.52, 0.48], abs=1e-6)


@pytest.mark.parametrize("cap", [1.0, 0.4])
def test_several_gradients_are_weighed_better_than_any_grid_point(cap) -> None:
    vectors = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = least_norm(vectors, cap)
    assert weights.sum(1).tolist() == pytest.approx([1.0] * 5)
    assert weights.min() >= 0
    assert weights.max() <= cap + 1e-9
    steps = [step / 20 for step in range(21)]
    grid = torch.tensor(
        [(a, b, c, 1 - a - b - c) for a, b, c in itertools.product(steps, repeat=3) if -1e-9 <= 1 - a - b - c <= 1],
        dtype=torch.float64,
    )
    grid = grid[(grid <= cap + 1e-9).all(1)]
    best = (grid @ vectors).norm(dim=-1).min(dim=1).values
    assert ((weights.unsqueeze(1) @ vectors).norm(dim=-1)[:, 0] <= best + 1e-6).all()


def test_the_loss_of_aekd_has_the_shortest_gradient_of_the_teachers_mixtures() -> None:
    step = logits_step(ZS, [ZT, ZU], [0, 1])
    student = step.student.logits.clone().requires_grad_()
    moved = dataclasses.replace(step, student=dataclasses.replace(step.student, logits=student))
    (gradient,) = torch.autograd.grad(AEKD(temperature=2).terms(moved).terms["kd"].values.sum(), student)
    each = [(student / 2).softmax(-1) - (torch.tensor(z) / 2).softmax(-1) for z in (ZT, ZU)]
    shares = torch.linspace(0, 1, 101)
    norms = torch.stack([(w * each[0] + (1 - w) * each[1]).norm(dim=-1) for w in shares])
    assert (gradient.norm(dim=-1) / 2 <= norms.min(0).values + 1e-6).all()  # T² / T


def test_capped_at_equal_weights_aekd_has_the_gradient_of_the_mean_teacher() -> None:
    step = step_for(AEKD(), pair_for(AEKD(), teachers=2))
    losses = [method.terms(step).terms["kd"].values.sum() for method in (AEKD(cap=0.5), EnsU())]
    found = [torch.autograd.grad(loss, step.student.logits)[0] for loss in losses]
    torch.testing.assert_close(found[0], found[1])
    with pytest.raises(ConfigError, match=r"method\.cap = 0\.4 do not reach 1; set method\.cap to 0\.5 or more"):
        AEKD(cap=0.4).check(pair_for(AEKD(), teachers=2))


def test_rail_compares_means_of_drawn_layers_scaled_to_length_one() -> None:
    pair = pair_for(RAIL(), student_layers=3, layers=5)
    method = RAIL(width=4)
    step = step_for(method, pair, key=(7, 2, 5))
    drawn = drawn_layers(2, of=4, key=(7, 2, 0))
    lengths = step.student.mask.sum(1).tolist()
    states = {"student": (step.student.hidden, (1, 2)), "teacher": (step.teachers[0].hidden, drawn)}
    for row in (0, len(lengths) - 1):
        sides = []
        for side, (hidden, layers) in states.items():
            means = [hidden[row, layer, : lengths[row]].mean(0) for layer in layers]
            mapped = [linear(mean) for linear, mean in zip(step.adapters[side], means, strict=True)]
            sides.append(torch.stack([each / each.norm() for each in mapped]))
        expected = (sides[0] - sides[1]).square().sum()
        torch.testing.assert_close(method.terms(step).terms["layers"].values[row], expected)


def test_rail_draws_once_an_epoch_without_repeats_and_in_order() -> None:
    draws = [drawn_layers(3, of=11, key=(0, epoch, 0)) for epoch in range(40)]
    assert all(list(draw) == sorted(set(draw)) for draw in draws)
    assert {layer for draw in draws for layer in draw} == set(range(1, 12))
    assert len(set(draws)) > 20
    assert drawn_layers(3, of=11, key=(0, 4, 9)) == draws[4] != drawn_layers(3, of=11, key=(1, 4, 0))


def test_means_of_states_leave_padding_out() -> None:
    states = torch.arange(6.0).reshape(1, 1, 3, 2)
    assert mean_states(states, torch.tensor([[True, True, False]])).tolist() == [[[1.0, 2.0]]]


def test_label_smoothing_gives_every_class_its_share() -> None:
    method = LabelSmoothing(smoothing=0.3)
    soft = method.soft_labels(STEP)
    torch.testing.assert_close(soft, torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]).to(soft))
    by_hand = -(soft * STEP.student.logits.log_softmax(-1)).sum(-1).mean()
    assert objective(method, STEP, SingleRank()).loss.item() == pytest.approx(by_hand.item())
    unlabeled = dataclasses.replace(STEP, labels=torch.tensor([-1, 1]))
    assert method.soft_labels(unlabeled).sum(1).tolist() == pytest.approx([0, 1])
    assert objective(method, unlabeled, SingleRank()).counts["hard"] == 1


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.440799), (1.0, 0.281135), (0.5, None)])
def test_a_temperature_moves_with_the_steps(progress, expected) -> None:
    """At the ends the values of the fixture for T = 5 and T = 1; between them T = 3."""
    step = dataclasses.replace(STEP, progress=progress)
    found = kd_of(KD(temperature=5, temperature_end=1).terms(step))
    assert found == pytest.approx(kd_of(KD(temperature=5 - 4 * progress).terms(STEP)))
    if expected:
        assert sum(found) / 2 == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ConfigError, match="nothing would move"):
        KD(temperature_end=5)
    with pytest.raises(ConfigError, match="temperature_end would have no effect"):
        KD(kd_term="mse", temperature_end=1)
