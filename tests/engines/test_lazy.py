"""Ray starts when something must be made on it, and not before."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTED = "Ray: 1 node(s)"


def prune(store: Path, *settings: str) -> str:
    """What the command says of its work."""
    command = [sys.executable, "-m", "kdray.cli", "prune", str(ROOT / "recipes" / "prune.yaml"), "corpus.name=sample"]
    done = subprocess.run(
        [*command, "corpus.limit=200", f"store={store}", *settings], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "The pruned corpus" in done.stdout
    return done.stderr


@pytest.mark.slow
def test_little_work_and_work_that_was_done_start_no_cluster(tmp_path: Path) -> None:
    first = prune(tmp_path, "prune.keep_medoids=none")
    assert "made prune/" in first
    assert STARTED not in first
    again = prune(tmp_path, "prune.keep_medoids=none", "work.actors=1")
    assert "reused prune/" in again
    assert STARTED not in again


@pytest.mark.slow
@pytest.mark.ray
def test_the_set_number_of_actors_does_the_work(tmp_path: Path) -> None:
    said = prune(tmp_path, "work.actors=1")
    assert said.index(STARTED) < said.index("made embeddings/")
