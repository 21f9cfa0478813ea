"""Losses that compare rows of a batch with each other, the same on one worker and on many."""

from jaxtyping import Float
from torch import Tensor

from kdray.methods.contract import Ranks


def whole_batch(rows: Float[Tensor, "batch *rest"], ranks: Ranks) -> Float[Tensor, "all_rows *rest"]:
    """Every row of the global batch, in its order; gradient flows to this worker's own rows only.

    The other workers hold the gradient of theirs, and the sum over workers is that of one process.
    """
    everyone, mine = ranks.gather(rows.detach())
    whole = everyone.clone()
    whole[mine] = rows
    return whole


def value_per_row(loss: Float[Tensor, ""], *, rows: int, everyone: int) -> Float[Tensor, " batch"]:
    """A loss of the whole batch as a term's values: their mean over all rows is the loss, and so is the gradient's sum.

    Args:
        loss: As each worker computes it from `whole_batch`.
        rows: Of this worker.
        everyone: Of all workers.
    """
    if not rows:
        return loss.new_zeros(0) + 0.0 * loss
    own = (loss - loss.detach()) * (everyone / rows)
    return (loss.detach() + own).expand(rows)
