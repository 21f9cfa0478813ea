"""How far a score may lie from that of other rows, by the number of rows alone."""

import math

PROPORTIONS = frozenset({"accuracy"})  # means of rows that are right or wrong
DEVIATIONS = 2.0  # a difference of so many standard errors is more than noise


def row_noise(metric: str, score: float, rows: int) -> float | None:
    """The standard error of a score from the choice of the rows: √(p(1 − p) / rows).

    None where the metric is not a mean of rows that are right or wrong.
    """
    if metric not in PROPORTIONS or rows < 1 or not 0 <= score <= 1:
        return None
    return math.sqrt(score * (1 - score) / rows)


def split_gap(metric: str, *, validation: float, test: float, rows: tuple[int, int]) -> str | None:
    """A sentence where the two scores of one student differ by more than their noise; None where they do not.

    Args:
        rows: Of validation and of test.
    """
    # one right and one wrong row more: a score of 1 on few rows is not free of noise
    smooth = [(score * count + 1) / (count + 2) for score, count in zip((validation, test), rows, strict=True)]
    errors = [row_noise(metric, score, count) for score, count in zip(smooth, rows, strict=True)]
    if errors[0] is None or errors[1] is None:
        return None
    limit = DEVIATIONS * math.hypot(errors[0], errors[1])
    if abs(validation - test) <= limit:
        return None
    return (
        f"validation {metric} {validation:.3f} and test {metric} {test:.3f} differ by more than the noise of their "
        f"rows ({limit:.3f}): the rows of validation are unlike those of test, or share texts with train."
    )
