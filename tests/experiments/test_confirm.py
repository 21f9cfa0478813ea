"""Confirmation, with tasks that end at once: what is trained, and which results a candidate gets. No Ray is started."""

from pathlib import Path
from typing import Any

import pytest
import tiny

from kdray.experiments import confirm as module
from kdray.experiments.confirm import Candidate, confirm


def test_equal_candidates_are_trained_once_and_share_their_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[tuple[str, int]] = []

    def task(candidate: Candidate, seed: int, shared: Any, *, cpus: int, gpus: float) -> tuple[str, int]:
        started.append((candidate.label, seed))
        return started[-1]

    def result(ref: tuple[str, int]) -> dict[str, Any]:
        return {"trained": ref, "metric": "accuracy", "metrics": {"test": {"accuracy": 0.5}}}

    monkeypatch.setattr(module, "_task", task)
    monkeypatch.setattr(module.ray, "wait", lambda refs, num_returns: (refs[-1:], refs[:-1]))
    monkeypatch.setattr(module.ray, "get", result)
    winner = tiny.run_config(tmp_path, tmp_path, method={"name": "kd"})
    same = tiny.run_config(tmp_path, tmp_path, method={"name": "kd"})
    other = tiny.run_config(tmp_path, tmp_path, method={"name": "finetune"})
    candidates = [Candidate("winner", winner), Candidate("plain", other), Candidate("defaults", same)]
    shared: Any = None  # only handed on
    found = confirm(candidates, [0, 1], shared, cpus=1, gpus=0.0)
    assert sorted(started) == [("plain", 0), ("plain", 1), ("winner", 0), ("winner", 1)]
    assert {label: [each["trained"] for each in results] for label, results in found.items()} == {
        "winner": [("winner", 0), ("winner", 1)],
        "plain": [("plain", 0), ("plain", 1)],
        "defaults": [("winner", 0), ("winner", 1)],
    }
