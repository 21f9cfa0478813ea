"""The loss primitives, once. All per row, in float32, from log_softmax; sums over classes.

`elementmean` divides by the number of classes and exists only to compare with codes that average over it.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from kdray.tasks import cross_entropy_rows as cross_entropy_rows
from kdray.tasks import wide as wide

Direction = Literal["forward", "reverse"]
Reduction = Literal["batchmean", "elementmean"]
Rows = Float[Tensor, " batch"]
Logits = Float[Tensor, "batch classes"]


def log_probs(logits: Logits, temperature: float) -> Logits:
    """log softmax(z / T), in at least float32.

    >>> log_probs(torch.tensor([[0.0, 0.0]]), 2.0)
    tensor([[-0.6931, -0.6931]])
    """
    return F.log_softmax(wide(logits) / temperature, dim=-1)


def kl_rows(log_p: Float[Tensor, "*rows classes"], log_q: Float[Tensor, "*rows classes"]) -> Float[Tensor, "*rows"]:
    """KL(p ‖ q) per row from log-probabilities; a zero of p contributes 0.

    >>> kl_rows(torch.tensor([[1.0, 0.0]]).log(), torch.tensor([[0.5, 0.5]]).log())
    tensor([0.6931])
    """
    finite = log_p.clamp(min=torch.finfo(log_p.dtype).min)  # 0 · (−∞) would be NaN
    return F.kl_div(log_q, finite, reduction="none", log_target=True).sum(-1)


def kd_rows(
    target_log_probs: Logits,
    student: Logits,
    *,
    temperature: float,
    t2_scaling: bool = True,
    direction: Direction = "forward",
    reduction: Reduction = "batchmean",
) -> Rows:
    """KL between a target distribution, already at `temperature`, and the student's (logits).

    Args:
        t2_scaling: Multiply by T², so that gradients keep their size when the temperature changes.
        direction: `forward` is KL(target ‖ student), `reverse` is KL(student ‖ target).
        reduction: `elementmean` divides by the number of classes.

    >>> same = torch.tensor([[1.0, 2.0, 3.0]])
    >>> kd_rows(log_probs(same, 4.0), same, temperature=4.0)
    tensor([0.])
    >>> kd_rows(log_probs(same, 1.0), torch.zeros(1, 3), temperature=1.0)
    tensor([0.2662])
    """
    log_q = log_probs(student, temperature)
    pair = (target_log_probs, log_q) if direction == "forward" else (log_q, target_log_probs)
    rows = kl_rows(*pair) * (temperature**2 if t2_scaling else 1.0)
    return rows / student.shape[-1] if reduction == "elementmean" else rows


def soft_cross_entropy_rows(target_log_probs: Logits, student: Logits, *, temperature: float) -> Rows:
    """Cross-entropy to a target distribution: KL plus the target's entropy, with the same gradient.

    >>> soft_cross_entropy_rows(log_probs(torch.zeros(1, 2), 1.0), torch.zeros(1, 2), temperature=1.0)
    tensor([0.6931])
    """
    return -(target_log_probs.exp() * log_probs(student, temperature)).sum(-1)


def mse_rows(target: Logits, student: Logits) -> Rows:
    """Mean squared difference of logits per row (mean over classes).

    >>> mse_rows(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([2.])
    """
    return (wide(target) - wide(student)).square().mean(-1)


def mean_of_labels(values: Float[Tensor, "batch *labels"]) -> Rows:
    """One value a row: of several distributions a row, one a label, their mean."""
    return values if values.ndim == 1 else values.flatten(1).mean(-1)


def ensemble_log_probs(
    teachers: Sequence[Logits],
    weights: Sequence[float] | Float[Tensor, " teachers"],
    *,
    temperature: float,
    combine: Literal["prob", "logit"],
) -> Logits:
    """The ensemble's log-probabilities: temperature first, then the weighted average (S0 eq. 6), or of logits.

    Args:
        weights: One a teacher; with `prob` they sum to 1.

    >>> sure = torch.tensor([[100.0, 0.0]])
    >>> ensemble_log_probs([sure, -sure], [0.75, 0.25], temperature=1.0, combine="prob").exp()
    tensor([[0.7500, 0.2500]])
    """
    if combine == "logit":
        mixed = torch.stack([w * wide(z) for w, z in zip(weights, teachers, strict=True)]).sum(0)
        return log_probs(mixed, temperature)
    parts = [log_probs(z, temperature) for z in teachers]
    log_weights = torch.as_tensor(weights, dtype=parts[0].dtype, device=parts[0].device).log()
    return torch.logsumexp(torch.stack(parts) + log_weights.view(-1, *[1] * parts[0].ndim), dim=0)


def entropy_rows(log_p: Float[Tensor, "*rows classes"]) -> Float[Tensor, "*rows"]:
    """Shannon entropy in nats.

    >>> entropy_rows(torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log())
    tensor([0.6931, 0.0000])
    """
    return torch.special.entr(log_p.exp()).sum(-1)


def unit(x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
    """Scaled to length 1 over the last dimension.

    >>> unit(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)
