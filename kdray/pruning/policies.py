"""Pruning policies: thresholds on importance. A unit is a candidate for removal iff its importance is below.

Source: "Clustering-Based Knowledge Distillation with Sentence Pruning", section 3.2 and eq. 4. As printed
(`literal`), the two stages remove about 95 %, against reported rates of 5.7, 32.8 and 31.7 %; `lower_tail` is the
reading that comes near the last two. Percentiles are interpolated linearly, standard deviations are the population's.
"""

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from kdray.records import Settings

MedoidRule = Literal["star", "nn", "kmeans", "gmm", "spectral", "agglomerative", "mean_shift", "none"]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class LowerTail(Settings):
    """Below the mean by more than ``deviations`` standard deviations: 31 % of a normal distribution at 0.5."""

    default_keep_medoids: ClassVar[MedoidRule] = "star"
    default_max_prune_rate: ClassVar[float] = 0.5

    name: Literal["lower_tail"] = "lower_tail"
    deviations: float = Field(default=0.5, ge=0, le=10)

    def threshold(self, importance: Floats) -> float:
        return float(importance.mean() - self.deviations * importance.std())

    def drop(self, importance: Floats) -> Mask:
        return importance < self.threshold(importance)


class AsPrinted(Settings):
    """The two stages as printed: below a percentile, then below the survivors' mean plus some standard deviations."""

    default_keep_medoids: ClassVar[MedoidRule] = "none"
    default_max_prune_rate: ClassVar[float] = 1.0  # a guard would make it another policy: it removes about 95 %

    name: Literal["literal"] = "literal"
    percentile: float = Field(default=80.0, ge=0, le=100)
    deviations: float = Field(default=0.5, ge=0, le=10)

    def threshold(self, importance: Floats) -> float:
        return two_stage_threshold(importance, self.percentile, self.deviations)

    def drop(self, importance: Floats) -> Mask:
        return importance < self.threshold(importance)


class LiteralCenters(Settings):
    """The printed thresholds, and the abstract's sentence that cluster medoids are preserved."""

    default_keep_medoids: ClassVar[MedoidRule] = "nn"
    default_max_prune_rate: ClassVar[float] = 1.0

    name: Literal["literal_centers"] = "literal_centers"
    percentile: float = Field(default=80.0, ge=0, le=100)
    deviations: float = Field(default=0.5, ge=0, le=10)

    def threshold(self, importance: Floats) -> float:
        return two_stage_threshold(importance, self.percentile, self.deviations)

    def drop(self, importance: Floats) -> Mask:
        return importance < self.threshold(importance)


class BottomQuintile(Settings):
    """Below the 20th percentile: "80 %" read as the share that is kept."""

    default_keep_medoids: ClassVar[MedoidRule] = "none"
    default_max_prune_rate: ClassVar[float] = 0.5

    name: Literal["bottom_quintile"] = "bottom_quintile"

    def threshold(self, importance: Floats) -> float:
        return float(np.percentile(importance, 20))

    def drop(self, importance: Floats) -> Mask:
        return importance < self.threshold(importance)


class MatchRate(Settings):
    """The given share with the lowest importance, the later of equals first: any rate, by construction.

    A field that must keep a sentence keeps the earliest of equals, so a larger share drops what a smaller one does.

    The frozen threshold is the lowest importance kept, so it never removes more than the share, and less with equals.
    """

    default_keep_medoids: ClassVar[MedoidRule] = "none"
    default_max_prune_rate: ClassVar[float] = 1.0

    name: Literal["match_rate"] = "match_rate"
    rate: float = Field(gt=0, lt=1)

    def threshold(self, importance: Floats) -> float:
        return float(np.sort(importance)[share(self.rate, len(importance))])

    def drop(self, importance: Floats) -> Mask:
        dropped = np.zeros(len(importance), dtype=np.bool_)
        later_first = np.lexsort((-np.arange(len(importance)), importance))
        dropped[later_first[: share(self.rate, len(importance))]] = True
        return dropped


class Keep(Settings):
    """The control: nothing is dropped."""

    default_keep_medoids: ClassVar[MedoidRule] = "none"
    default_max_prune_rate: ClassVar[float] = 1.0

    name: Literal["none"] = "none"

    def threshold(self, importance: Floats) -> float:
        return 0.0

    def drop(self, importance: Floats) -> Mask:
        return np.zeros(len(importance), dtype=np.bool_)


Policy = Annotated[
    LowerTail | AsPrinted | LiteralCenters | BottomQuintile | MatchRate | Keep, Field(discriminator="name")
]


def two_stage_threshold(importance: Floats, percentile: float, deviations: float) -> float:
    """Both printed stages as one threshold: what the second stage removes includes what the first does."""
    survivors = importance[importance >= np.percentile(importance, percentile)]
    if survivors.min() == survivors.max():  # the mean of equal numbers may be rounded to just above them
        return float(survivors[0])
    return float(survivors.mean() + deviations * survivors.std())


def share(rate: float, count: int) -> int:
    """How many of ``count`` a rate allows, rounded down; 0.29 of 100 is 29, though the product is just below."""
    return math.floor(rate * count + 1e-9)


def limit_threshold(importance: Floats, threshold: float, max_prune_rate: float) -> float:
    """Lower a threshold, where needed, so that at most this share of the units lies below it."""
    allowed = share(max_prune_rate, len(importance))
    if allowed >= len(importance):
        return threshold
    return min(threshold, float(np.sort(importance)[allowed]))
