"""Weights of losses that change with the progress of a training, or with the row."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_training
import torch
from tiny_training import CASES

from kdray.errors import ConfigError
from kdray.methods import KD, Batch
from kdray.signals import Signals
from kdray.train import SingleRank, objective


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schedule")
    tiny_training.write_all_outputs(folder)
    return folder


def step(progress: float = 0.0) -> Batch:
    student, teacher = [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]
    return Batch(
        student=Signals(torch.tensor(student, dtype=torch.float64)),
        teachers=(Signals(torch.tensor(teacher, dtype=torch.float64)),),
        assistant=None,
        labels=torch.tensor([0, 1, -1]),
        ranks=SingleRank(),
        key=(0, 0, 0),
        adapters=torch.nn.ModuleDict(),
        progress=progress,
    )


class ByRow(KD):
    """Rows that the teacher is sure of weigh more."""

    def schedule(self, step: Batch) -> dict[str, torch.Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"kd": step.teachers[0].logits.amax(-1) * step.student.logits.amax(-1)}


class Flat(KD):
    def schedule(self, step: Batch) -> dict[str, torch.Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"hard": torch.full((3,), 0.5), "kd": torch.full((3,), 0.5)}


class Misnamed(KD):
    def schedule(self, step: Batch) -> dict[str, float]:
        return {"kl": 1.0}


class Reduces(KD):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": (step.student.logits - step.teachers[0].logits).square().mean()}

    terms = KD.__mro__[1].terms  # pyright: ignore


class Pushes(KD):
    def weights(self) -> dict[str, float]:
        return {"hard": -0.5, "kd": 1.0}


class Detaches(KD):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": super().terms(step).terms["kd"].values.detach()}

    terms = KD.__mro__[1].terms  # pyright: ignore


class ReadsMore(Detaches):
    def losses(self, step: Batch) -> dict[str, torch.Tensor]:
        return {"kd": (step.student.cls - step.teachers[0].cls).square().mean(-1)}  # pyright: ignore


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_alpha_moves_linearly_to_its_end(progress: float) -> None:
    moving = objective(KD(alpha=0.8, alpha_end=0.4), step(progress), SingleRank())
    still = objective(KD(alpha=0.8 - 0.4 * progress), step(), SingleRank())
    torch.testing.assert_close(moving.loss, still.loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(moving.weighted["kd"], (0.8 - 0.4 * progress) * moving.sums["kd"])


def test_a_weight_by_row_weighs_each_row_and_takes_no_gradient() -> None:
    made = step()
    made.student.logits.requires_grad_()
    found = objective(ByRow(alpha=0.5), made, SingleRank())
    found.loss.backward()
    plain = step()
    plain.student.logits.requires_grad_()
    term = KD(alpha=0.5).terms(plain).terms["kd"].values
    hard = objective(KD(alpha=0.5), plain, SingleRank()).sums["hard"] * 0.5 / 2
    weights = torch.tensor([2.0 * 1.0, 1.0 * 2.0, 3.0 * 1.0], dtype=torch.float64)
    torch.testing.assert_close(found.loss, (weights * term).mean() + hard)
    torch.testing.assert_close(found.weighted["kd"], (weights * term).sum().detach())
    labeled = torch.nn.functional.cross_entropy(plain.student.logits, torch.tensor([0, 1, -1]), ignore_index=-1)
    ((weights * term).mean() + 0.5 * labeled).backward()
    torch.testing.assert_close(made.student.logits.grad, plain.student.logits.grad)


def test_a_flat_schedule_equals_no_schedule() -> None:
    torch.testing.assert_close(objective(Flat(), step(), SingleRank()).loss, objective(KD(), step(), SingleRank()).loss)


def test_a_weight_of_no_term_is_refused() -> None:
    with pytest.raises(ConfigError, match="method Misnamed: weights has hard, kd, kl, but the terms are hard, kd"):
        objective(Misnamed(), step(), SingleRank())


def test_a_term_that_is_a_mean_over_rows_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method Reduces: term kd has the shape \(\); .* each of the 3 rows"):
        objective(Reduces(), step(), SingleRank())


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"method Pushes: the weight of hard is -0\.5; allowed are finite numbers of 0"
    ):
        objective(Pushes(), step(), SingleRank())


def test_terms_without_a_gradient_are_refused() -> None:
    training = step()
    training.student.logits.requires_grad_()
    with pytest.raises(ConfigError, match="method Detaches: no term depends on the student"):
        objective(Detaches(), training, SingleRank())


def test_a_signal_that_was_not_made_is_named() -> None:
    with pytest.raises(ConfigError, match=r"TypeError.*\. It reads cls, which `needs` .* write needs = .*\.$"):
        objective(ReadsMore(), step(), SingleRank())


def test_a_training_with_a_moving_alpha_reports_what_it_minimized(outputs: Path) -> None:
    case = replace(CASES["kd-5"], method={"name": "kd", "temperature": 2.0, "alpha": 0.9, "alpha_end": 0.1})
    moving = tiny_training.train(case, outputs)
    still = tiny_training.train(replace(case, method={"name": "kd", "temperature": 2.0, "alpha": 0.9}), outputs)
    first, last = moving.result.history
    assert last["weighted"]["kd"] / last["terms"]["kd"] < 0.4 < first["weighted"]["kd"] / first["terms"]["kd"]
    assert first["loss"] == pytest.approx(sum(first["weighted"].values()))
    assert any(not torch.equal(moving.weights[key], tensor) for key, tensor in still.weights.items())
