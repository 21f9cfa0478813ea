"""Confirmation, with tasks that end at once: what is trained, and which results a candidate gets. No Ray is started."""

from pathlib import Path
from typing import Any

import tiny

from kdray.experiments.confirm import Candidate, confirm


def test_equal_candidates_are_trained_once_and_share_their_results(tmp_path: Path) -> None:
    winner = tiny.run_config(tmp_path, tmp_path, method={"name": "kd"})
    same = tiny.run_config(tmp_path, tmp_path, method={"name": "kd"})
    other = tiny.run_config(tmp_path, tmp_path, method={"name": "finetune"})
    candidates = [Candidate("winner", winner), Candidate("plain", other), Candidate("defaults", same)]
    shared: Any = None  # only handed on
    scores = {"metric": "accuracy", "metrics": {"test": {"accuracy": 0.5}}}
    engine = tiny.LastFirst(result=lambda job, title: {"of": title, **scores})
    found = confirm(candidates, [0, 1], shared, engine, cpus=1, gpus=0.0)
    winners = [f"distill kd, winner, seed {seed}" for seed in (0, 1)]
    others = [f"distill finetune, plain, seed {seed}" for seed in (0, 1)]
    assert sorted(engine.titles) == sorted(winners + others)
    assert {label: [each["of"] for each in results] for label, results in found.items()} == {
        "winner": winners,
        "plain": others,
        "defaults": winners,
    }
