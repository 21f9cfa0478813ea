"""Logistic regression over teachers' probabilities: the targets of the ensembles that are fitted to labels."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, MethodOutput, MethodState, TeacherLogits
from kdray.methods.ensembles import accuracies, labeled, soft_terms
from kdray.methods.losses import Logits, ensemble_log_probs, log_probs
from kdray.methods.soft_labels import SoftLabels

Mode = Literal["weights", "stacking"]
Combine = Literal["prob", "logit"]


class FittedEnsemble(SoftLabels):
    """Soft labels of an ensemble that was fitted to the labels of one split; that split is the subclass's matter.

    Attributes:
        mode: One weight a teacher (`weights`), or a regression on all their probabilities (`stacking`).
        combine: With `weights`: average probabilities (`prob`) or logits (`logit`).
    """

    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    mode: Mode = "weights"
    combine: Combine = "prob"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "FittedEnsemble":
        if self.mode == "stacking":
            self.refuse_idle(("combine",), because="mode is stacking")
        return self

    def terms(self, step: Batch) -> MethodOutput:
        target = fitted_target(step, self.mode, combine=self.combine, temperature=self.temperature)
        return soft_terms(step, target, self)


def fitted(outputs: TeacherLogits, mode: Mode, *, method: str, split: str) -> MethodState:
    """What `fitted_target` needs, by the labels of one split; and the teachers' accuracies there, to be looked at.

    Raises:
        ConfigError: No row is labeled, or stacking lacks a class: its bias would have no finite optimum.
    """
    known = labeled(outputs, method=method, split=split)
    accuracy = {"accuracy": accuracies(known)}
    if mode == "weights":
        return {"weights": _weights(known).float()} | accuracy
    missing = set(range(known.teachers[0].shape[-1])) - set(known.labels.tolist())
    if missing:
        raise ConfigError(
            f"method {method}: no {split} row has class {min(missing)}, which mode=stacking must see; "
            "take method.mode=weights."
        )
    return {name: value.float() for name, value in _stacking(known).items()} | accuracy


def fitted_target(step: Batch, mode: Mode, *, combine: Combine, temperature: float) -> Logits:
    """The log-probabilities of the fitted ensemble, at the temperature."""
    teachers = [teacher.logits for teacher in step.teachers]
    if mode == "weights":
        return ensemble_log_probs(teachers, step.prepared["weights"], temperature=temperature, combine=combine)
    seen = _side_by_side(teachers)
    matrix, bias = step.prepared["matrix"].to(seen.dtype), step.prepared["bias"].to(seen.dtype)
    return log_probs(seen @ matrix.T + bias, temperature)


def _weights(outputs: TeacherLogits) -> Tensor:
    """u of q = softmax(Σ_k u_k log p_k), without its negative part, scaled to sum 1."""
    parts = torch.stack([log_probs(z.double(), 1.0) for z in outputs.teachers])
    count = len(parts)

    def loss(u: Tensor) -> Tensor:
        mixed = (u.view(-1, 1, 1) * parts).sum(0)
        return F.cross_entropy(mixed, outputs.labels) + 0.5 * u.square().sum() / len(outputs.labels)

    positive = _least(loss, torch.full((count,), 1 / count, dtype=torch.float64)).clamp(min=0)
    if positive.sum() == 0:
        return torch.full_like(positive, 1 / count)
    return positive / positive.sum()


def _stacking(outputs: TeacherLogits) -> dict[str, Tensor]:
    """Multinomial logistic regression on all teachers' probabilities; the bias is not shrunk."""
    seen = _side_by_side([z.double() for z in outputs.teachers])
    classes, features = outputs.teachers[0].shape[-1], seen.shape[-1]

    def loss(flat: Tensor) -> Tensor:
        both = flat.view(classes, features + 1)
        matrix, bias = both[:, :-1], both[:, -1]
        return F.cross_entropy(seen @ matrix.T + bias, outputs.labels) + 0.5 * matrix.square().sum() / len(seen)

    start = torch.zeros(classes * (features + 1), dtype=torch.float64)
    found = _least(loss, start).view(classes, features + 1)
    return {"matrix": found[:, :-1], "bias": found[:, -1]}


def _side_by_side(teachers: list[Logits]) -> Tensor:
    return torch.cat([log_probs(z, 1.0).exp() for z in teachers], dim=-1)


def _least(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Where a convex function is least, by L-BFGS."""
    x = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [x], max_iter=1000, tolerance_grad=1e-9, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(x)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)
    return x.detach()
