"""The order of an epoch: batches of rows of similar length, in an order given by (seed, epoch) alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows are sorted by length only inside a stretch of this many batches: enough for little padding, few enough that
# which rows meet in a batch still changes from epoch to epoch.
MEGA_BATCHES = 50


def length_batches(
    lengths: NDArray[np.integer[Any]], *, batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Row numbers by batch: every row exactly once, every batch full but perhaps the last.

    Args:
        lengths: tokens of each row.
        batch_size: 1 or more.
        seed: 0 or more.
        epoch: 0 or more; each has its own order, and needs none of the earlier ones.
    """
    assert batch_size >= 1
    num_rows = len(lengths)
    rows = _permutation(num_rows, seed, epoch, purpose=0)
    mega = np.arange(num_rows) // (MEGA_BATCHES * batch_size)
    rows = rows[np.lexsort((lengths[rows], mega))]
    return _in_batches(rows, batch_size=batch_size, seed=seed, epoch=epoch)


def balanced_batches(
    lengths: NDArray[np.integer[Any]], groups: NDArray[np.integer[Any]], *, batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Row numbers by batch, as many batches of the same sizes as `length_batches` gives, all groups equally often.

    Every batch has numbers of rows of the groups that differ by one at most. Rows of a small group repeat once all of
    them were taken; of a large one, other rows are left out in every epoch.

    Args:
        groups: of each row, any whole numbers.
    """
    names = np.unique(groups)
    stretch = max(1, MEGA_BATCHES * batch_size // len(names))
    rows = np.empty(len(lengths), np.int64)
    for number, name in enumerate(names):
        mine, places = np.flatnonzero(groups == name), rows[number :: len(names)]
        rounds = range(-(-len(places) // len(mine)))
        drawn = [mine[_permutation(len(mine), seed, epoch, purpose=2 + number + len(names) * k)] for k in rounds]
        taken = np.concatenate(drawn)[: len(places)]
        places[:] = taken[np.lexsort((lengths[taken], np.arange(len(places)) // stretch))]
    return _in_batches(rows, batch_size=batch_size, seed=seed, epoch=epoch)


def _in_batches(rows: NDArray[np.int64], *, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Full batches of consecutive rows in an order of their own, the rest last."""
    num_full = len(rows) // batch_size
    full = rows[: num_full * batch_size].reshape(num_full, batch_size)
    batches = list(full[_permutation(num_full, seed, epoch, purpose=1)])
    rest = rows[num_full * batch_size :]
    return [*batches, rest] if len(rest) else batches


def _permutation(size: int, seed: int, epoch: int, *, purpose: int) -> NDArray[np.int64]:
    # Sorting a counter generator's raw output, because numpy promises that stream for ever but not `permutation`'s.
    stream = np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=np.array([0, 0, 0, purpose], np.uint64))
    return np.argsort(stream.random_raw(size), kind="stable").astype(np.int64)
