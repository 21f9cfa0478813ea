"""Joint fine-tuning of teachers: the sum of their cross-entropies."""

import methods_oracle as oracle
import numpy as np
import pytest
import torch
from method_steps import logits_step
from pydantic import TypeAdapter, ValidationError

from kdray.methods import AnyMethod, JointFineTuning, parse_method
from kdray.train import SingleRank, objective


def test_the_loss_is_the_mean_over_labeled_rows_of_the_sum_over_models():
    draw = np.random.default_rng(0)
    models = [2 * draw.standard_normal((5, 3)) for _ in range(4)]
    labels = np.array([0, 2, -1, 1, 2])
    step_loss = objective(JointFineTuning(models=4), logits_step(np.hstack(models), [], labels), SingleRank())
    known = labels >= 0
    expected = sum(oracle.cross_entropy(z[known], labels[known]) for z in models).mean()
    assert step_loss.loss.item() == pytest.approx(expected, abs=1e-12)
    assert step_loss.counts["hard"].item() == 4
    assert step_loss.sums["hard"].item() == pytest.approx(4 * expected, abs=1e-12)


def test_gradients_are_those_of_the_models_by_themselves():
    logits = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    step = logits_step(logits, [], torch.arange(6) % 3)
    assert torch.autograd.gradcheck(
        lambda z: objective(JointFineTuning(models=2), logits_step(z, [], step.labels), SingleRank()).loss, (logits,)
    )


def test_joint_fine_tuning_is_for_teachers_only():
    assert parse_method({"name": "joint", "models": 2}) == JointFineTuning(models=2)
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        TypeAdapter(AnyMethod).validate_python({"name": "joint", "models": 2})
