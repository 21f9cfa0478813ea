"""Self-attention as a distribution: how each token relates to the others, head by head (MiniLM, MiniLMv2)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kdray.methods.contract import Batch
from kdray.methods.layers import token_mean
from kdray.methods.losses import kl_rows, wide

States = Float[Tensor, "batch tokens width"]


def relation_rows(
    teacher: tuple[States, States],
    student: tuple[States, States],
    mask: Bool[Tensor, "batch tokens"],
    *,
    heads: int,
) -> Float[Tensor, " batch"]:
    """KL between the teacher's and the student's relations, the mean over heads and a row's real tokens.

    Args:
        teacher: Whose relations, and to what: queries and keys are attention, values and values a value relation.
        student: Of any width that `heads` divides.
    """
    theirs, ours = (_log_relations(*pair, mask, heads) for pair in (teacher, student))
    return token_mean(kl_rows(theirs, ours), mask).mean(1)


def last_layer(step: Batch) -> tuple[Float[Tensor, "batch 3 tokens width"], Float[Tensor, "batch 3 tokens width"]]:
    """Queries, keys and values of the last layer: the teacher's, the student's."""
    teacher, student = step.teachers[0].qkv_last, step.student.qkv_last
    assert teacher is not None
    assert student is not None
    return teacher, student


def real_tokens(step: Batch) -> Bool[Tensor, "batch tokens"]:
    assert step.student.mask is not None
    return step.student.mask


def _log_relations(
    x: States, y: States, mask: Bool[Tensor, "batch tokens"], heads: int
) -> Float[Tensor, "batch heads tokens tokens"]:
    """log softmax over real tokens of x·yᵀ/√(width of a head)."""
    x, y = (wide(states).unflatten(-1, (heads, -1)).transpose(1, 2) for states in (x, y))
    scores = x @ y.transpose(-1, -2) / x.shape[-1] ** 0.5
    # not −∞: the divergence of two impossible tokens would be ∞ − ∞
    hidden = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min)
    return torch.log_softmax(hidden, dim=-1)
