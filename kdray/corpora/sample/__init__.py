"""The corpus that ships inside kdray: premises and hypotheses in the shape of RTE, made by `generate`.

It lets every command run without any other corpus. It is not a benchmark: see README.md in this folder.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["sample_folder"]


def sample_folder() -> Path:
    """The folder that holds train.parquet and validation.parquet: `sentence1` (premise), `sentence2` (hypothesis),
    `label` (0 = entailment, 1 = not_entailment), `idx` (counts rows from 0)."""
    return Path(__file__).parent
