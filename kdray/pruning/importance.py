"""Importance of a unit: the sum of its L2-normalized TF-IDF vector, scaled to [0, 1].

Source: "Clustering-Based Knowledge Distillation with Sentence Pruning", eq. 3. The equation's symbol is TF, its text
has TF-IDF, and the score of a sentence is left open; the row sum is our reading. TF-IDF follows the usual smoothed
form: lower case, tokens of two or more word characters, raw counts, idf = ln((1 + n) / (1 + df)) + 1. In scripts
without spaces between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer) a token is two neighboring characters.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

ScoreKind = Literal["sum", "mean"]
Floats = npt.NDArray[np.float64]

_TOKEN = re.compile(r"\b\w\w+\b")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u3096\u30a1-\u30fc\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)


@dataclass(frozen=True)
class TermCounts:
    """The first pass: how many units there are, and in how many of them each term occurs."""

    num_units: int
    document_frequency: Mapping[str, int]


@dataclass(frozen=True)
class TermStatistics:
    """Frozen inverse document frequencies, in the order of the terms."""

    num_units: int
    idf: Mapping[str, float]


@dataclass(frozen=True)
class Scale:
    """The lowest and the highest score of the units that were fitted."""

    lo: float
    hi: float

    @classmethod
    def of(cls, scores: Floats) -> "Scale":
        """The range of some scores; 0 to 0 of none."""
        return cls(float(scores.min()), float(scores.max())) if len(scores) else cls(0.0, 0.0)

    def importance(self, scores: Floats) -> Floats:
        """Scale scores to [0, 1]: 0 at ``lo``, 1 at ``hi``, clipped beyond; all 1 if ``lo`` equals ``hi``."""
        if self.hi == self.lo:
            return np.ones_like(scores)
        return np.clip((scores - self.lo) / (self.hi - self.lo), 0.0, 1.0)


def count_terms(texts: Iterable[str]) -> TermCounts:
    """Count, for each term, the texts in which it occurs."""
    frequency: Counter[str] = Counter()
    num_units = 0
    for text in texts:
        frequency.update(set(_tokens(text)))
        num_units += 1
    return TermCounts(num_units, dict(frequency))


def freeze(counts: TermCounts) -> TermStatistics:
    """Turn counts into inverse document frequencies, ln((1 + n) / (1 + df)) + 1, at least 1 each."""
    n = 1 + counts.num_units
    frequency = counts.document_frequency
    return TermStatistics(
        counts.num_units, {term: math.log(n / (1 + frequency[term])) + 1 for term in sorted(frequency)}
    )


def score(texts: Sequence[str], statistics: TermStatistics, how: ScoreKind = "sum") -> Floats:
    """Score each text by its own words alone, so that neither order nor sharding matters.

    Args:
        texts: The units' texts.
        statistics: Frozen idf; unknown terms are skipped.
        how: ``sum`` of the normalized TF-IDF vector, between 1 and the square root of the number of distinct terms;
            ``mean`` divides it by that number, which prefers very short units instead of long ones.

    Returns:
        Scores [texts]; 0 if all terms are unknown.
    """
    return np.array([_score(text, statistics.idf, how) for text in texts], dtype=np.float64)


def _score(text: str, idf: Mapping[str, float], how: ScoreKind) -> float:
    counts = Counter(_tokens(text))
    weights = [count * idf[term] for term, count in counts.items() if term in idf]
    if not weights:
        return 0.0
    # fsum is exactly rounded: the score does not depend on the order of the words, nor on the machine.
    total = math.fsum(weights) / math.sqrt(math.fsum(weight * weight for weight in weights))
    return total / len(weights) if how == "mean" else total


def _tokens(text: str) -> list[str]:
    lower = text.lower()
    if not _UNSPACED.search(lower):
        return _TOKEN.findall(lower)
    pairs = [run[at : at + 2] for run in _UNSPACED.findall(lower) for at in range(max(1, len(run) - 1))]
    return [*_TOKEN.findall(_UNSPACED.sub(" ", lower)), *pairs]
