"""Tests between two students that read the same rows with the same seeds; Holm's correction for many of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from kdray.evaluate.statistics import is_constant

RESAMPLES = 1000
CHUNK = 50  # resamples at once

Right = Bool[NDArray[np.bool_], "seeds rows"]


@dataclass(frozen=True)
class Interval:
    """Where 95 % of the resampled differences lie, and how often, twice, they are on the other side of 0."""

    low: float
    high: float
    p_value: float


def by_seed(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Two-sided p-value of the t-test of differences, score by score of the same seed.

    None where it is undefined: one seed, or equal differences.

    >>> by_seed([88 / 99, 87 / 99], [86 / 99, 85 / 99])  # two rows more on both seeds; floats differ in the last digit
    """
    from scipy import stats  # takes half a second to import; workers do not need it

    differences = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    if len(differences) < 2 or is_constant(differences, size=max(map(abs, [*ours, *theirs]))):
        return None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def mcnemar(ours: Right, theirs: Right) -> float:
    """Two-sided p-value of McNemar's exact test: of the rows that one student answers better, how many are ours.

    With several seeds a row is ours if we answer it right on more of them than they do: a sign test over rows, which is
    McNemar's test for one seed.

    >>> mcnemar(np.array([[True] * 8]), np.array([[False] * 5 + [True] * 3]))
    0.0625
    """
    from scipy import stats

    lead = ours.sum(0).astype(np.int64) - theirs.sum(0)
    won, lost = int((lead > 0).sum()), int((lead < 0).sum())
    return float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def bootstrap(ours: Right, theirs: Right, *, seed: int = 0) -> Interval:
    """The difference of accuracies over resampled rows and seeds, both drawn in pairs.

    Args:
        seed: Of the resampling.
    """
    lead = ours.astype(np.float64) - theirs
    seeds, rows = lead.shape
    random = np.random.default_rng(seed)
    found: list[Float[NDArray[np.float64], " resamples"]] = []
    for start in range(0, RESAMPLES, CHUNK):
        number = min(CHUNK, RESAMPLES - start)
        by_row = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=number) @ lead / seeds
        drawn = random.multinomial(rows, np.full(rows, 1 / rows), size=number)
        found.append((by_row * drawn).sum(1) / rows)
    differences = np.concatenate(found)
    low, high = np.quantile(differences, [0.025, 0.975])
    beyond = 1 + min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return Interval(float(low), float(high), min(1.0, 2 * beyond / (RESAMPLES + 1)))


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Holm's adjusted p-values; tests that were not made (None) do not count.

    >>> holm({"a": 0.01, "b": 0.04, "c": None, "d": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': None, 'd': 0.06}
    """
    made = sorted((p, name) for name, p in p_values.items() if p is not None)
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for place, (p, name) in enumerate(made):
        highest = max(highest, min(1.0, (len(made) - place) * p))
        adjusted[name] = highest
    return adjusted


def pack_rows(right: Bool[NDArray[np.bool_], " rows"]) -> str:
    """Marks of rows as text: their number, and eight of them in two hexadecimal digits.

    >>> pack_rows(np.array([True, False, True]))
    '3:a0'
    """
    return f"{len(right)}:{np.packbits(right).tobytes().hex()}"


def unpack_rows(text: str) -> Bool[NDArray[np.bool_], " rows"]:
    """The marks of `pack_rows`."""
    number, _, digits = text.partition(":")
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8), count=int(number)).astype(bool)
