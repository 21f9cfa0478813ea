"""Which students of a table are compared, by which tests, and what earlier results lack."""

from typing import Any

import numpy as np
import pytest

from kdray.evaluate import mcnemar, pack_rows, unpack_rows
from kdray.experiments.confirm import Candidate
from kdray.experiments.documents import pairs

ROWS = 40


def trained(label: str, *right: int, metric: str = "accuracy", keeps_rows: bool = True) -> list[dict[str, Any]]:
    """Students that answer so many of the first rows right, one a seed."""
    return [
        {
            "metric": metric,
            "metrics": {"test": {metric: count / ROWS}},
            "spec": {"digest": f"{label}{seed}"},
            **({"right": {"test": pack_rows(np.arange(ROWS) < count)}} if keeps_rows else {}),
        }
        for seed, count in enumerate(right)
    ]


def compared(confirmed: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, str], dict[str, Any]]:
    nothing: Any = None
    found = pairs([Candidate(label, nothing) for label in confirmed], confirmed)
    return {(each["label"], each["to"]): each for each in found}


def test_every_pair_is_tested_once_and_corrected_for_all() -> None:
    confirmed = {"a": trained("a", 30, 34), "b": trained("b", 20, 25), "same as a": trained("a", 30, 34)}
    confirmed["c"] = trained("c", 10, 30)
    found = compared(confirmed)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    pair = found["a", "b"]
    assert pair["difference"] == pytest.approx((10 + 9) / 2 / ROWS)
    assert pair["low"] < pair["difference"] < pair["high"]
    ours, theirs = (np.stack([unpack_rows(each["right"]["test"]) for each in confirmed[name]]) for name in "ab")
    assert pair["p_rows"] == mcnemar(ours, theirs)
    least = min(found.values(), key=lambda each: each["p_rows"])
    assert least["holm_rows"] == pytest.approx(3 * least["p_rows"])
    assert pair["p_seeds"] < 0.05 < pair["holm_seeds"] * 1.5


def test_rows_are_tested_only_where_they_are_known_and_are_what_the_metric_counts() -> None:
    old = compared({"a": trained("a", 30, 33), "b": trained("b", 20, 21, keeps_rows=False)})["a", "b"]
    other = compared({"a": trained("a", 30, 33, metric="f1"), "b": trained("b", 20, 21, metric="f1")})["a", "b"]
    for pair in (old, other):
        assert (pair["low"], pair["p_rows"], pair["holm_rows"]) == (None, None, None)
        assert pair["p_seeds"] == pair["holm_seeds"]
        assert 0 < pair["p_seeds"] < 0.1


def test_rows_are_packed_without_loss() -> None:
    for number in (0, 1, 8, 13):
        right = np.arange(number) % 3 == 0
        assert np.array_equal(unpack_rows(pack_rows(right)), right)
