"""The numbers of a task, worked by hand: losses, unlabeled rows, soft labels, baselines, targets and fingerprints."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from kdray.corpora import fingerprint
from kdray.errors import ConfigError
from kdray.methods.losses import ensemble_log_probs, kd_rows, log_probs, mean_of_labels
from kdray.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, TASKS, LabelError, baseline, get_task

Z = torch.tensor([[0.5, -1.0], [2.0, 0.0]])


def column(values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


def test_hard_losses_by_hand():
    assert REGRESSION.hard_rows(torch.tensor([[1.0], [3.0]]), torch.tensor([0.5, 1.0])).tolist() == [0.25, 4.0]
    rows = MULTI_LABEL.hard_rows(Z, torch.tensor([[1, 0], [0, 0]]))
    sigma = 1 / (1 + np.exp(-Z.numpy().astype(float)))
    expected = [-np.log([sigma[0, 0], 1 - sigma[0, 1]]).mean(), -np.log([1 - sigma[1, 0], 1 - sigma[1, 1]]).mean()]
    assert rows.tolist() == pytest.approx(expected, abs=1e-6)


def test_an_unlabeled_row_has_no_loss_and_no_gradient():
    for task, targets in (
        (REGRESSION, torch.tensor([0.25, float("nan")])),
        (MULTI_LABEL, torch.tensor([[1, 0], [-1, -1]])),
        (SINGLE_LABEL, torch.tensor([1, -1])),
    ):
        logits = (Z[:, :1] if task is REGRESSION else Z).clone().requires_grad_()
        rows = task.hard_rows(logits, targets)
        rows.sum().backward()
        assert logits.grad is not None
        assert task.labeled(targets).tolist() == [True, False]
        assert rows[1] == 0
        assert torch.isfinite(logits.grad).all()
        assert (logits.grad[1] == 0).all()
        assert (logits.grad[0] != 0).all()


def test_soft_labels_of_several_labels_are_bernoulli_distributions():
    teacher, temperature = torch.tensor([[1.0, 0.3], [-0.5, 2.0]]), 2.0
    views = [MULTI_LABEL.distributions(z) for z in (teacher, Z)]
    settings = {"temperature": temperature, "t2_scaling": True, "direction": "forward", "reduction": "batchmean"}
    found = mean_of_labels(kd_rows(log_probs(views[0], temperature), views[1], **settings))
    p, q = (1 / (1 + np.exp(-z.double().numpy() / temperature)) for z in (teacher, Z))
    expected = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert found.tolist() == pytest.approx(temperature**2 * expected.mean(axis=1), abs=1e-6)
    mixed = ensemble_log_probs(views, [0.5, 0.5], temperature=temperature, combine="prob").exp()
    assert mixed[..., 0].numpy() == pytest.approx((p + q) / 2, abs=1e-6)


def test_baselines():
    values = np.array([1.0, 2.0, 6.0, np.nan], np.float32)
    assert baseline("mse", values, outputs=1, task=REGRESSION) == pytest.approx((4 + 1 + 9) / 3)
    labels = np.array([[1, 0], [1, 0], [0, 0], [-1, -1]])
    assert baseline("micro_f1", labels, outputs=2, task=MULTI_LABEL) == pytest.approx(2 * 2 / (3 + 2))
    assert baseline("log_loss", np.array([0, 1, 1, 1]), outputs=2) == pytest.approx(
        -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    )


def test_columns_of_labels():
    assert REGRESSION.read(column(["1.5", "", " -2 "]), ()).to_pylist() == [1.5, None, -2.0]
    stored = MULTI_LABEL.read(column(["b; a", "", None, "b"]), ["a", "b"])
    assert stored.to_pylist() == [[0, 1], [], None, [1]]
    assert MULTI_LABEL.read(column([[1], [0, 1]]), ["a", "b"]).to_pylist() == [[1], [0, 1]]
    targets = MULTI_LABEL.targets(pa.chunked_array([stored]), ["a", "b"])
    assert targets.tolist() == [[1, 1], [0, 0], [-1, -1], [0, 1]]
    for task, values in ((REGRESSION, [0.5, float("inf")]), (MULTI_LABEL, ["a", "c"])):
        with pytest.raises(LabelError) as error:
            task.read(column(values), ["a", "b"])
        assert error.value.row == 1


def test_fingerprints_of_different_labels_differ():
    def of(labels, kind):
        return fingerprint({"train": pa.table({"id": ["x", "y"], "label": pa.array(labels, kind)})})

    lists, numbers = pa.list_(pa.int64()), pa.float64()
    different = [
        of([[0], [1]], lists), of([[0, 1], []], lists), of([[], [0, 1]], lists), of([None, [0, 1]], lists),
        of([0.5, 1.0], numbers), of([0.5, 1.25], numbers), of([None, 1.0], numbers), of([0, 1], pa.int64()),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_tasks_by_name():
    assert list(TASKS) == ["single_label", "regression", "multi_label", "token_classification"]
    with pytest.raises(
        ConfigError,
        match=r"^task 'ranking' is unknown; known are single_label, regression, multi_label, token_classification\.",
    ):
        get_task("ranking")
    with pytest.raises(ConfigError, match=r"^task 'math:pi' has no always; it must be an object with all of always,"):
        get_task("math:pi")
