"""Which settings win a search: the best few trials and the defaults are trained again on further seeds, or by folds.

The best score of many trials is partly luck. So the candidates are the best trials by their validation score and the
defaults; each is trained on every seed of the confirmation, and compared by its mean score on the validation split over
the seeds that the search did not use. A candidate wins if its mean is better than that of the defaults by more than the
noise; otherwise the defaults win. The test split has no part in it.

With folds, each is trained once a fold with the seed of the search, and compared by its mean score over the folds.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdray.results import CandidateScore, Selection
from kdray.tasks import best_of, row_noise


def select(
    results: Mapping[int, Sequence[Mapping[str, Any]]],
    seeds: Sequence[int],
    *,
    searched: int,
    metric: str,
    higher_is_better: bool,
    rows: int,
) -> Selection:
    """Compare candidates with the defaults.

    Args:
        results: Number of a trial to one result document a seed; trial 0 is the defaults.
        searched: The seed that the search trained with; it counts only where there is no other.
        rows: Of the validation split.

    Returns:
        What was compared, and which trial wins.
    """
    further = [place for place, seed in enumerate(seeds) if seed != searched] or list(range(len(seeds)))
    scores = {
        number: [float(each[place]["metrics"]["validation"][metric]) for place in further]
        for number, each in results.items()
    }
    means = {number: float(np.mean(each)) for number, each in scores.items()}
    top = best_of(means.values(), higher_is_better=higher_is_better)
    best = next(number for number in means if means[number] == top)
    gain = (means[best] - means[0]) * (1 if higher_is_better else -1)
    noise = math.hypot(
        _standard_error(scores[best]), _standard_error(scores[0]), row_noise(metric, means[0], rows) or 0.0
    )
    return Selection(
        seeds=tuple(seeds[place] for place in further),
        contenders=tuple(CandidateScore(number=number, validation=means[number]) for number in scores),
        best=best,
        gain=gain,
        noise=noise,
        winner=best if gain > noise else 0,
    )


def select_by_folds(
    results: Mapping[int, Sequence[Mapping[str, Any]]],
    *,
    seed: int,
    metric: str,
    higher_is_better: bool,
    rows: Mapping[str, int],
) -> Selection:
    """Compare candidates with the defaults, in pairs of the same fold.

    The noise is the corrected resampled standard error of the mean difference (Nadeau and Bengio 2003): folds share
    train rows, so the variance of the differences counts 1 / folds + validation rows / train rows times.

    Args:
        results: Number of a trial to one result document a fold, of two or more folds; trial 0 is the defaults.
        seed: That all were trained with.
        rows: Of the splits `train` and `validation`, summed over the folds.

    Returns:
        What was compared, and which trial wins.
    """
    scores = {
        number: np.array([float(result["metrics"]["validation"][metric]) for result in each])
        for number, each in results.items()
    }
    means = {number: float(np.mean(each)) for number, each in scores.items()}
    top = best_of(means.values(), higher_is_better=higher_is_better)
    best = next(number for number in means if means[number] == top)
    lead = (scores[best] - scores[0]) * (1 if higher_is_better else -1)
    gain = float(np.mean(lead))
    noise = math.sqrt(float(np.var(lead, ddof=1)) * (1 / len(lead) + rows["validation"] / rows["train"]))
    return Selection(
        seeds=(seed,),
        contenders=tuple(CandidateScore(number=number, validation=means[number]) for number in scores),
        best=best,
        gain=gain,
        noise=noise,
        winner=best if gain > noise else 0,
        folds=len(lead),
    )


def _standard_error(scores: Sequence[float]) -> float:
    """Of the mean over seeds; 0 of one seed, of which nothing is known."""
    return float(np.std(scores, ddof=1) / math.sqrt(len(scores))) if len(scores) > 1 else 0.0
