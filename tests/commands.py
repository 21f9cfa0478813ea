"""Commands of kdray as other processes start them."""

import sys
from pathlib import Path

import tiny
import yaml

ROOT = Path(__file__).parents[1]


def sweep_command(store: Path | str, encoder: Path, *more: str) -> list[str]:
    """A sweep `s` of four trials on a few rows of the sample, with one tiny teacher that need not be trained."""
    teacher = tiny.given_teacher(encoder.with_name("given-teacher"), labels=("entailment", "not_entailment"))
    return [
        *(sys.executable, str(ROOT / "sweeps" / "tune_rte.py"), "--corpus", "sample", "--store", str(store)),
        *("--name", "s", "--trials", "4", "--epochs", "2", "--seeds", "1", "--candidates", "1"),
        *("corpus.limit=64", "outputs.quality_check=false", "student.layers=2", "train.max_length=32"),
        f"teachers={yaml.safe_dump([teacher], default_flow_style=True, width=10_000).strip()}",
        *("assistant.train={epochs: 1, max_length: 32}", *more),
    ]
