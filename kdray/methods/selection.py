"""Data selection: which rows of the global batch still query a teacher (S1 eq. 4, 5, 11, 12)."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kdray.methods.contract import Ranks
from kdray.methods.losses import entropy_rows, log_probs

Strategy = Literal["entropy", "random", "least_confidence", "margin", "margin_literal"]


def uncertainty(logits: Float[Tensor, "batch classes"], strategy: Strategy) -> Float[Tensor, " batch"]:
    """How unsure the student is of each row, without gradient; larger is more uncertain.

    `margin_literal` is eq. 12 as printed: it ranks certain rows first (docs/decisions.md D6).
    """
    log_p = log_probs(logits.detach(), 1.0)
    if strategy == "entropy":
        return entropy_rows(log_p) / torch.log(torch.tensor(float(logits.shape[-1])))
    top = log_p.exp().topk(2, dim=-1).values
    if strategy == "least_confidence":
        return 1 - top[:, 0]
    margin = top[:, 0] - top[:, 1]
    return margin if strategy == "margin_literal" else 1 - margin


def most(
    values: Float[Tensor, " batch"], eligible: Bool[Tensor, " batch"], keep: float, ranks: Ranks, *, at_least: int
) -> Bool[Tensor, " batch"]:
    """The rows with the largest values among the eligible rows of the **global** batch; ties to the earlier row.

    Keeps max(at_least, ⌊eligible · keep⌋) rows, never more than are eligible. Returns this worker's share as a mask.
    """
    everyone, mine = ranks.gather(torch.where(eligible, values, torch.full_like(values, -torch.inf)))
    total = int((everyone > -torch.inf).sum())
    number = min(total, max(at_least, int(total * keep + 1e-9)))
    chosen = torch.zeros_like(everyone, dtype=torch.bool)
    chosen[torch.sort(everyone, descending=True, stable=True).indices[:number]] = True
    return chosen[mine]
