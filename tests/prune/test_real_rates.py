"""Prune rates on dev splits, as the paper measured them: statistics of the split, whole examples, no graph."""

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kdray.pruning import PruneSettings, fit, summary, units_at

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("KDRAY_DATA" not in os.environ, reason="KDRAY_DATA names no folder of real corpora"),
]

FIELDS: dict[str, Any] = {
    "rte": [("sentence1", "context"), ("sentence2", "query")],
    "sst2": [("sentence", "body")],
    "qnli": [("question", "query"), ("sentence", "context")],
}
PAPER = {"rte": 0.328, "sst2": 0.057, "qnli": 0.317}


def num_pruned(task: str, policy: Any) -> tuple[int, int]:
    table = pq.read_table(Path(os.environ["KDRAY_DATA"]) / task / "validation.parquet")
    chosen = PruneSettings.model_validate({"policy": policy, "fit_on": "split", "level": "row"} | unprotected(policy))
    made = fit(units_at(table, FIELDS[task], chosen, level="row", id_column="idx"), [], chosen, level="row")
    found = summary(made.decisions, table, id_column="idx")
    pruned = found["num_units"] - found["num_kept"]
    print(f"{task} {policy}: {pruned}/{found['num_units']} = {found['prune_rate']:.1%}; reported {PAPER[task]:.1%}")
    return pruned, found["num_units"]


def unprotected(policy: Any) -> dict[str, str]:
    return {"keep_medoids": "none"} if policy == "lower_tail" else {}


@pytest.mark.parametrize("task", ["rte", "qnli"])
def test_lower_tail_comes_near_the_reported_rate(task: str) -> None:
    pruned, total = num_pruned(task, "lower_tail")
    assert pruned / total == pytest.approx(PAPER[task], abs=0.04)


@pytest.mark.parametrize("task", ["rte", "sst2", "qnli"])
def test_the_printed_thresholds_prune_nearly_everything(task: str) -> None:
    pruned, total = num_pruned(task, "literal")
    assert 0.9 < pruned / total < 0.97


@pytest.mark.parametrize(("task", "expected"), [("rte", 90), ("sst2", 49), ("qnli", 1731)])
def test_match_rate_gives_the_reported_rate(task: str, expected: int) -> None:
    assert num_pruned(task, {"name": "match_rate", "rate": PAPER[task]})[0] == expected


def test_exact_counts_on_rte() -> None:
    assert num_pruned("rte", "lower_tail") == (101, 277)
    assert num_pruned("rte", "literal") == (257, 277)
    assert num_pruned("rte", "bottom_quintile") == (56, 277)
