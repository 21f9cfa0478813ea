"""Which rows of train are held out. Decided by a hash of (seed, row id), so neither file order nor sharding matters."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kdray.errors import BadInput


def carve(train: pa.Table, *, fraction: float, seed: int) -> tuple[pa.Table, pa.Table]:
    """Split off a stratified part of the labelled rows.

    Args:
        train: with the columns `id` and `label`; unlabelled rows stay in train.
        fraction: of the labelled rows, in (0, 0.5]; the count is rounded to the nearest row, half up.
        seed: 0 or more; another seed takes other rows.

    Returns:
        What stays and what was carved off, both in the order of `train`.

    Raises:
        BadInput: nothing would be carved off, or a class would have no row left.
    """
    rows = np.flatnonzero(train["label"].is_valid().to_numpy())
    labels = train["label"].drop_null().to_numpy()
    count = int(len(rows) * fraction + 0.5)
    if count == 0:
        raise BadInput(f"train has {len(rows)} labelled rows, too few to select on {fraction:g} of them.")
    ids = train["id"].take(pa.array(rows)).to_pylist()
    taken = choose(ids, labels, count=count, seed=seed, purpose="select")
    gone = np.setdiff1d(labels, labels[~taken])
    if len(gone):
        raise BadInput(
            f"train has only {np.sum(labels == gone[0])} row of class {gone[0]}, and selecting on {fraction:g} of the "
            "rows would leave none: add rows of this class or set another split_seed."
        )
    is_carved = np.zeros(train.num_rows, bool)
    is_carved[rows[taken]] = True
    return train.filter(pa.array(~is_carved)), train.filter(pa.array(is_carved))


def limit_rows(train: pa.Table, *, limit: int, seed: int) -> pa.Table:
    """A stratified sample of exactly `limit` rows in the order of `train`; unlabelled rows are a stratum of their own.

    Raises:
        BadInput: there are fewer rows than `limit`, which would then have no effect.
    """
    if limit > train.num_rows:
        raise BadInput(
            f"limit = {limit}, but train has {train.num_rows} rows (1 to {train.num_rows}, or leave it out)."
        )
    strata = pc.fill_null(train["label"], -1).to_numpy()
    taken = choose(train["id"].to_pylist(), strata, count=limit, seed=seed, purpose="limit")
    return train.filter(pa.array(taken))


def choose(ids: Sequence[str], strata: NDArray[np.int64], *, count: int, seed: int, purpose: str) -> NDArray[np.bool_]:
    """Mark `count` rows, from every stratum its share by the largest remainder (ties: the smaller stratum number).

    Within a stratum the rows with the smallest hashes of (seed, purpose, id) are taken.
    """
    assert 0 <= count <= len(ids) == len(strata)
    _, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    quotas, remainders = np.divmod(sizes * count, max(len(ids), 1))
    most_left_over = np.argsort(-remainders, kind="stable")[: count - quotas.sum()]
    quotas[most_left_over] += 1
    order = np.lexsort((_hashes(ids, f"{seed}:{purpose}"), stratum))
    rank = np.arange(len(ids)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    taken = np.zeros(len(ids), bool)
    taken[order] = rank < np.repeat(quotas, sizes)
    return taken


def _hashes(ids: Sequence[str], key: str) -> NDArray[np.uint64]:
    start = blake2b(digest_size=8, key=key.encode())
    digests: list[bytes] = []
    for each in ids:
        state = start.copy()
        state.update(each.encode())
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8")
