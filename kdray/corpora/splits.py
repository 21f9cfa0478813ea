"""Which rows of train are held out. A hash of (seed, row id) decides, so file order and sharding have no effect."""

import re
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kdray.errors import ConfigError

HOST = "host:"  # before a column of URLs, in `group_by`
PHRASES = "\x1fphrases"  # a column with the number of each row's group of phrases, which no field can be named


def carve(
    train: pa.Table, *, fraction: float, seed: int, group_by: str | None = None, names: Sequence[str] = ()
) -> tuple[pa.Table, pa.Table]:
    """Split off a stratified part of the labeled rows. The only row of a class stays where that is possible.

    Args:
        train: with the columns `id` and `label`, numbers of classes; unlabeled rows stay in train.
        fraction: of the labeled rows, in (0, 0.5]; the count is rounded to the nearest row, half up.
        seed: 0 or more; another seed takes other rows.
        group_by: a column, or `host:COLUMN` of URLs; labeled rows with the same text (host) there go to the same side,
            so the held-out part may be a few rows smaller.
        names: of the classes, for messages; their numbers unless given.

    Returns:
        The remaining and the held-out rows, both in the order of `train`.

    Raises:
        ConfigError: no row would be held out, or a class would have no row left.
    """
    rows, labels, groups = _labeled(train, group_by)
    count = int(len(rows) * fraction + 0.5)
    if count == 0:
        raise ConfigError(
            f"train has {len(rows):,} labeled row{'' if len(rows) == 1 else 's'}, too few to hold out {fraction:g} of "
            "them: add rows, raise corpus.limit where it is set, or raise corpus.validation_fraction."
        )
    ids = train["id"].take(pa.array(rows)).to_pylist()
    if groups is None:
        taken = choose(ids, labels, count=count, seed=seed, purpose="select")
    else:
        taken = choose_groups(ids, labels, groups, count=count, seed=seed, purpose="select")
        if not taken.any():
            shown = "phrases" if group_by == PHRASES else group_by
            raise ConfigError(f"train cannot be split by {shown}: no group of rows is as small as {count} rows.")
    gone = np.setdiff1d(labels, labels[~taken])
    if len(gone):
        raise ConfigError(
            f"train has only {np.sum(labels == gone[0])} row of class {_named(gone[0], names)}; holding out "
            f"{fraction:g} of the rows would remove it: add rows of this class or set another split_seed."
        )
    return _parted(train, rows[taken])


def _named(label: np.int64, names: Sequence[str]) -> str:
    return names[int(label)] if 0 <= label < len(names) else str(label)


def fold(
    train: pa.Table, *, index: int, of: int, seed: int, group_by: str | None = None, names: Sequence[str] = ()
) -> tuple[pa.Table, pa.Table]:
    """Split off one of several stratified folds; each labeled row is in exactly one of them.

    Args:
        train: with the columns `id` and `label`; unlabeled rows stay in train in every fold.
        index: of the fold that is held out, 0 to `of` - 1.
        of: the number of folds, 2 or more.
        seed: 0 or more; another seed makes other folds.
        group_by: as for `carve`; labeled rows of one group are in one fold.
        names: of the classes, for messages.

    Returns:
        The remaining and the held-out rows, both in the order of `train`.

    Raises:
        ConfigError: there are fewer rows or groups than folds, or all rows of a class are in one fold.
    """
    rows, labels, groups = _labeled(train, group_by)
    ids = train["id"].take(pa.array(rows)).to_pylist()
    groups = np.arange(len(rows)) if groups is None else groups
    if (there := len(np.unique(groups))) < of:
        what = "labeled rows" if group_by is None else "groups of labeled rows"
        raise ConfigError(f"train has {there} {what}, too few for {of} folds; set fewer folds.")
    folds = deal(ids, labels, groups, of=of, seed=seed)
    for each in np.unique(labels):
        if len(np.unique(folds[labels == each])) == 1:
            number = np.sum(labels == each)
            raise ConfigError(
                f"all rows of class {_named(each, names)} ({number} in train) are in one of {of} folds, whose "
                "models would not learn it; add rows of this class, set another split_seed, or use no folds."
            )
    return _parted(train, rows[folds == index])


def _labeled(
    train: pa.Table, group_by: str | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.integer] | None]:
    """The places of the labeled rows in train, and their strata and groups; no groups without `group_by`."""
    rows = np.flatnonzero(train["label"].is_valid().to_numpy())
    labels = _strata(train["label"].drop_null())
    if group_by is None:
        return rows, labels, None
    texts = train[group_by.removeprefix(HOST)].take(pa.array(rows))
    if group_by.startswith(HOST):
        texts = pa.chunked_array([list(map(host_of, texts.to_pylist()))], pa.string())
    return rows, labels, texts.dictionary_encode().combine_chunks().indices.to_numpy()


def _parted(train: pa.Table, rows: NDArray[np.int64]) -> tuple[pa.Table, pa.Table]:
    """The other rows, and these."""
    is_taken = np.zeros(train.num_rows, bool)
    is_taken[rows] = True
    return train.filter(pa.array(~is_taken)), train.filter(pa.array(is_taken))


def host_of(url: str) -> str:
    """The last two labels of a URL's host, lower case; an address of numbers as a whole.

    >>> host_of("http://login.Example.com:8080/a?b"), host_of("www.example.com/a"), host_of("http://10.0.0.1/x")
    ('example.com', 'example.com', '10.0.0.1')
    """
    place = url.strip().partition("://")[2] or url.strip()
    host = re.split(r"[/?#\\]", place, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].lower().rstrip(".")
    return host if host.replace(".", "").isdecimal() else ".".join(host.split(".")[-2:])


def limit_rows(train: pa.Table, *, limit: int, seed: int) -> pa.Table:
    """A stratified sample of exactly `limit` rows in the order of `train`; unlabeled rows are a stratum of their own.

    Raises:
        ConfigError: there are fewer rows than `limit`, which would then have no effect.
    """
    if limit > train.num_rows:
        raise ConfigError(
            f"limit = {limit}, but train has {train.num_rows} rows (1 to {train.num_rows}, or leave it out)."
        )
    strata = _strata(train["label"])
    taken = choose(train["id"].to_pylist(), strata, count=limit, seed=seed, purpose="limit")
    return train.filter(pa.array(taken))


def choose(ids: Sequence[str], strata: NDArray[np.int64], *, count: int, seed: int, purpose: str) -> NDArray[np.bool_]:
    """Mark `count` rows, from every stratum its share by the largest remainder (ties: the smaller stratum number).

    Within a stratum the rows with the smallest hashes of (seed, purpose, id) are taken.
    """
    assert 0 <= count <= len(ids) == len(strata)
    _, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    quotas = _quotas(sizes, count, keeps_last=purpose == "select")
    order = np.lexsort((_hashes(ids, f"{seed}:{purpose}"), stratum))
    rank = np.arange(len(ids)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    taken = np.zeros(len(ids), bool)
    taken[order] = rank < np.repeat(quotas, sizes)
    return taken


def choose_groups(
    ids: Sequence[str],
    strata: NDArray[np.int64],
    groups: NDArray[np.integer],
    *,
    count: int,
    seed: int,
    purpose: str,
) -> NDArray[np.bool_]:
    """As `choose`, but groups are taken whole: in the order of their smallest hash, each that still fits the shares.

    With groups of one row it marks the rows that `choose` marks; otherwise at most as many of every stratum.
    """
    assert 0 <= count <= len(ids) == len(strata) == len(groups)
    _, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    left = _quotas(sizes, count, keeps_last=purpose == "select")
    taken = np.zeros(len(ids), bool)
    for rows in _members(groups, _hashes(ids, f"{seed}:{purpose}")):
        wanted = np.bincount(stratum[rows], minlength=len(left))
        if np.all(wanted <= left):
            left -= wanted
            taken[rows] = True
    return taken


def deal(
    ids: Sequence[str], strata: NDArray[np.int64], groups: NDArray[np.integer], *, of: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each row, 0 to `of` - 1, [rows]; groups stay whole.

    Groups are dealt from the largest to the smallest, of equal size in the order of their smallest hash: each to the
    fold that has the fewest rows of its strata; then to the one with the fewest rows; then to the first.
    """
    assert len(ids) == len(strata) == len(groups)
    _, stratum = np.unique(strata, return_inverse=True)
    counts = np.zeros((of, int(stratum.max(initial=0)) + 1), np.int64)
    folds = np.zeros(len(ids), np.int64)
    for rows in sorted(_members(groups, _hashes(ids, f"{seed}:fold")), key=len, reverse=True):
        given = np.bincount(stratum[rows], minlength=counts.shape[1])
        place = int(np.lexsort((counts.sum(axis=1), counts @ given))[0])
        counts[place] += given
        folds[rows] = place
    return folds


def _members(groups: NDArray[np.integer], hashes: NDArray[np.uint64]) -> list[list[int]]:
    """The rows of each group, groups and rows in the order of their smallest hash."""
    members: dict[int, list[int]] = {}
    for row in np.argsort(hashes, kind="stable"):
        members.setdefault(int(groups[row]), []).append(int(row))
    return list(members.values())


def _strata(labels: pa.ChunkedArray) -> NDArray[np.int64]:
    """The classes, -1 for unlabeled rows; labels that are not classes form one stratum."""
    if pa.types.is_integer(labels.type):
        return pc.fill_null(labels, -1).to_numpy()
    return np.where(labels.is_valid().to_numpy(), 0, -1)


def _quotas(sizes: NDArray[np.int64], count: int, *, keeps_last: bool) -> NDArray[np.int64]:
    """How many of `count` each stratum gives: its share, by the largest remainder (ties: the smaller stratum).

    Args:
        keeps_last: Strata of one row give it last of all.
    """
    quotas, remainders = np.divmod(sizes * count, max(int(sizes.sum()), 1))
    if keeps_last:
        remainders = np.where(sizes == 1, -1, remainders)
    most_left_over = np.argsort(-remainders, kind="stable")[: count - quotas.sum()]
    quotas[most_left_over] += 1
    return quotas


def _hashes(ids: Sequence[str], key: str) -> NDArray[np.uint64]:
    start = blake2b(digest_size=8, key=key.encode())
    digests: list[bytes] = []
    for each in ids:
        state = start.copy()
        state.update(each.encode())
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8")
