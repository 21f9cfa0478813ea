"""Confirmation, with tasks that end at once: what is trained, and which results a candidate gets. No Ray is started."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny

from kdray.engines import InProcess
from kdray.experiments.confirm import Candidate, confirm


@dataclass(frozen=True)
class LastFirst(InProcess):
    """Trains nothing; a result holds the title of its job, and results come in the reverse order."""

    titles: list[str] = field(default_factory=list[str])

    def run_many(self, jobs: Any, function: Any, *, titles: Any, cpus: int, gpus: float) -> Iterator[tuple[int, Any]]:
        self.titles.extend(titles)
        for number in reversed(range(len(jobs))):
            yield number, {"of": titles[number], "metric": "accuracy", "metrics": {"test": {"accuracy": 0.5}}}


def test_equal_candidates_are_trained_once_and_share_their_results(tmp_path: Path) -> None:
    winner = tiny.run_config(tmp_path, tmp_path, method={"name": "kd"})
    same = tiny.run_config(tmp_path, tmp_path, method={"name": "kd"})
    other = tiny.run_config(tmp_path, tmp_path, method={"name": "finetune"})
    candidates = [Candidate("winner", winner), Candidate("plain", other), Candidate("defaults", same)]
    shared: Any = None  # only handed on
    engine = LastFirst()
    found = confirm(candidates, [0, 1], shared, engine, cpus=1, gpus=0.0)
    winners = [f"distill kd, winner, seed {seed}" for seed in (0, 1)]
    others = [f"distill finetune, plain, seed {seed}" for seed in (0, 1)]
    assert sorted(engine.titles) == sorted(winners + others)
    assert {label: [each["of"] for each in results] for label, results in found.items()} == {
        "winner": winners,
        "plain": others,
        "defaults": winners,
    }
