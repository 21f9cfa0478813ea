"""Several seeds: mean, both standard deviations, Welch's test, and the two ratios of distillation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kdray.tasks import is_better

ROUNDING = 1e-12  # of floats, as a share of their size


@dataclass(frozen=True)
class Spread:
    """Scores of several seeds.

    Attributes:
        std: Sample standard deviation (ddof 1); None for a single score.
        population_std: Population standard deviation (ddof 0), as S1 prints it.
    """

    values: tuple[float, ...]
    mean: float
    std: float | None
    population_std: float

    def plain(self) -> dict[str, Any]:
        return asdict(self) | {"values": list(self.values)}


def spread(values: Sequence[float]) -> Spread:
    array = np.asarray(values, dtype=np.float64)
    std = float(array.std(ddof=1)) if len(array) > 1 else None
    return Spread(tuple(map(float, values)), float(array.mean()), std, float(array.std(ddof=0)))


def is_constant(values: Sequence[float] | np.ndarray, *, size: float | None = None) -> bool:
    """Whether values differ by no more than the rounding of floats.

    Args:
        size: Of the numbers that the values were computed from; None is that of the values.
    """
    most = float(np.max(np.abs(values))) if size is None else size
    return bool(np.ptp(values) <= ROUNDING * most)


def welch(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Two-sided p-value of Welch's t-test; None when it is undefined (one score, or no spread on either side)."""
    from scipy import stats  # takes half a second to import; workers do not need it

    if min(len(a), len(b)) < 2 or (is_constant(a) and is_constant(b)):
        return None
    one, two = ((float(np.mean(x)), float(np.std(x, ddof=1)), len(x)) for x in (a, b))
    return float(stats.ttest_ind_from_stats(*one, *two, equal_var=False).pvalue)


@dataclass(frozen=True)
class Against:
    """One student's scores over seeds, compared with the no-KD baseline and the teacher.

    Attributes:
        difference: Mean minus the mean of the no-KD baseline; None for the no-KD baseline itself.
        p_value: Welch's, of that difference.
        distillation_ratio: As the function of that name.
        retention: As the function of that name; None where lower is better.
    """

    scores: Spread
    difference: float | None
    p_value: float | None
    retention: float | None
    distillation_ratio: float | None


def against(
    scores: Sequence[float], *, alone: Sequence[float] | None, teacher: float | None, higher_is_better: bool = True
) -> Against:
    """Compare one student with the no-KD baseline (None: it is that one) and the best teacher (None: there is none)."""
    mine = spread(scores)
    kept = None if teacher is None or not higher_is_better else retention(mine.mean, teacher)
    base = mine.mean if alone is None else spread(alone).mean
    ratio = None if teacher is None else distillation_ratio(mine.mean, base, teacher, higher_is_better=higher_is_better)
    if alone is None:
        return Against(mine, None, None, kept, ratio)
    return Against(mine, mine.mean - base, welch(scores, alone), kept, ratio)


def retention(student: float, teacher: float) -> float | None:
    """Student score over teacher score; None when the teacher's is 0."""
    return student / teacher if teacher else None


def distillation_ratio(
    distilled: float, alone: float, teacher: float, *, higher_is_better: bool = True
) -> float | None:
    """(S_kd − S) / (T − S): 0 is the no-KD baseline, 1 the teacher; None if the teacher is not better than S."""
    is_ahead = is_better(teacher, alone, higher_is_better=higher_is_better)
    return (distilled - alone) / (teacher - alone) if is_ahead else None
