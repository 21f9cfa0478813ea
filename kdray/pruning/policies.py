"""Pruning policies: thresholds on importance. A unit is a candidate for removal iff its importance is below.

Source: "Clustering-Based Knowledge Distillation with Sentence Pruning", section 3.2 and eq. 4. As printed
(`literal`), the two stages remove about 95 %, against reported rates of 5.7, 32.8 and 31.7 %; `lower_tail` is the
reading that comes near the last two. Percentiles are interpolated linearly, standard deviations are the population's.
"""

import math
from numbers import Real
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from kdray.errors import ConfigError
from kdray.origin import OpenSettings, opened, outside_class

MedoidRule = Literal["star", "nn", "kmeans", "gmm", "spectral", "agglomerative", "mean_shift", "none"]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class PruningPolicy(OpenSettings):
    """A frozen settings record that decides which units are candidates for removal, by their importance.

    A subclass outside of kdray is a policy of its own (see `kdray.origin`); it writes its settings as fields, and
    `threshold`.

    Attributes:
        default_keep_medoids: The medoids that are always kept, unless `keep_medoids` names others.
        default_max_prune_rate: The largest share of units below the threshold, unless `max_prune_rate` is another one.
    """

    default_keep_medoids: ClassVar[MedoidRule] = "none"
    default_max_prune_rate: ClassVar[float] = 0.5

    def threshold(self, importance: Floats) -> float:
        """The importance below which a unit is a candidate; it is frozen, and decides about later texts too.

        Args:
            importance: [units] of the training split, from 0 to 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has no threshold")

    def drop(self, importance: Floats) -> Mask:
        """Which units are candidates, [units]; those below the threshold, unless a policy overrides this."""
        return importance < self.threshold(importance)


def threshold_of(policy: PruningPolicy, importance: Floats) -> float:
    """Its threshold.

    Raises:
        ConfigError: The policy is from outside of kdray; it raised an exception, or gave no finite number.
    """
    with outside_class("policy", policy):
        found: Any = policy.threshold(importance)
    if not isinstance(found, Real) or not math.isfinite(found):
        raise ConfigError(
            f"policy {policy.label}: threshold returned {_shown(found)}; expected one finite number, an importance "
            "from 0 to 1."
        )
    return float(found)


def dropped_by(policy: PruningPolicy, importance: Floats) -> Mask:
    """The units that it drops, [units].

    Raises:
        ConfigError: The policy is from outside of kdray; it raised an exception, or gave no booleans of that shape.
    """
    with outside_class("policy", policy):
        found: Any = policy.drop(importance)
    if not isinstance(found, np.ndarray) or found.dtype != np.bool_ or found.shape != importance.shape:
        raise ConfigError(
            f"policy {policy.label}: drop returned {_shown(found)}; expected a numpy array of {len(importance)} "
            "booleans, one for each unit."
        )
    return found


def _shown(found: Any) -> str:
    if isinstance(found, np.ndarray):
        return f"an array of shape {found.shape} and type {found.dtype}"
    kind = type(found).__name__
    return f"{found!r} ({kind})" if isinstance(found, str | int | float) else kind


class LowerTail(PruningPolicy):
    """Below the mean by more than ``deviations`` standard deviations: 31 % of a normal distribution at 0.5.

    Attributes:
        deviations: Standard deviations below the mean.
    """

    default_keep_medoids: ClassVar[MedoidRule] = "star"

    name: Literal["lower_tail"] = "lower_tail"  # pyright: ignore[reportIncompatibleVariableOverride]
    deviations: float = Field(default=0.5, ge=0, le=10)

    def threshold(self, importance: Floats) -> float:
        return float(importance.mean() - self.deviations * importance.std())


class _TwoStages(PruningPolicy):
    """Below a percentile, then below the survivors' mean plus some standard deviations.

    Attributes:
        percentile: Of the first stage.
        deviations: Standard deviations above the survivors' mean, of the second stage.
    """

    default_max_prune_rate: ClassVar[float] = 1.0  # a guard would make it another policy: it removes about 95 %

    percentile: float = Field(default=80.0, ge=0, le=100)
    deviations: float = Field(default=0.5, ge=0, le=10)

    def threshold(self, importance: Floats) -> float:
        return two_stage_threshold(importance, self.percentile, self.deviations)


class AsPrinted(_TwoStages):
    """The two stages as printed."""

    name: Literal["literal"] = "literal"  # pyright: ignore[reportIncompatibleVariableOverride]


class LiteralCenters(_TwoStages):
    """The printed thresholds, and the abstract's sentence that cluster medoids are preserved."""

    default_keep_medoids: ClassVar[MedoidRule] = "nn"

    name: Literal["literal_centers"] = "literal_centers"  # pyright: ignore[reportIncompatibleVariableOverride]


class BottomQuintile(PruningPolicy):
    """Below the 20th percentile: "80 %" read as the share that is kept."""

    name: Literal["bottom_quintile"] = "bottom_quintile"  # pyright: ignore[reportIncompatibleVariableOverride]

    def threshold(self, importance: Floats) -> float:
        return float(np.percentile(importance, 20))


class MatchRate(PruningPolicy):
    """The given share with the lowest importance, the later of equals first: any rate, by construction.

    A field that must keep a sentence keeps the earliest of equals, so a larger share drops what a smaller one does.

    The frozen threshold is the lowest importance kept, so it never removes more than the share, and less with equals.

    Attributes:
        rate: The share of units that is dropped.
    """

    default_max_prune_rate: ClassVar[float] = 1.0

    name: Literal["match_rate"] = "match_rate"  # pyright: ignore[reportIncompatibleVariableOverride]
    rate: float = Field(gt=0, lt=1)

    def threshold(self, importance: Floats) -> float:
        return float(np.sort(importance)[share(self.rate, len(importance))])

    def drop(self, importance: Floats) -> Mask:
        dropped = np.zeros(len(importance), dtype=np.bool_)
        later_first = np.lexsort((-np.arange(len(importance)), importance))
        dropped[later_first[: share(self.rate, len(importance))]] = True
        return dropped


class Keep(PruningPolicy):
    """The control: nothing is dropped."""

    default_max_prune_rate: ClassVar[float] = 1.0

    name: Literal["none"] = "none"  # pyright: ignore[reportIncompatibleVariableOverride]

    def threshold(self, importance: Floats) -> float:
        return 0.0

    def drop(self, importance: Floats) -> Mask:
        return np.zeros(len(importance), dtype=np.bool_)


class Fitted(PruningPolicy):
    """In a saved pruner, a policy from outside of kdray: the threshold was fitted, and its code is not loaded."""

    default_keep_medoids: ClassVar[MedoidRule] = "star"

    def threshold(self, importance: Floats) -> float:
        raise ConfigError(f"policy {self.name} of a saved pruner cannot be fitted again; prune with the policy itself.")


Policy = Annotated[
    LowerTail | AsPrinted | LiteralCenters | BottomQuintile | MatchRate | Keep,
    Field(discriminator="name"),
    *opened(PruningPolicy, "prune.policy.name"),
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
