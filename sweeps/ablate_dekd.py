"""What each part of DeKD adds, as in S1: `python sweeps/ablate_dekd.py [--corpus mrpc] [--seeds 5]`."""

from typing import Any

import tune_mrpc
from tune_mrpc import ON_SAMPLE

from kdray.cli.compare import compare_main
from kdray.config import RunConfig

SETTINGS = tune_mrpc.SETTINGS | {"method": {"name": "dekd"}}
CHANGES: dict[str, dict[str, Any]] = {
    "DeKD": {},
    "DeKD without data selection": {"r": 1.0, "strategy": "entropy", "ce_on": "all"},
    "DeKD without assistant": {"assistant": False, "ta_depth": None},
    "DeKD without layer alignment": {"lambda3": 0.0, "granularity": "batch"},
    **{f"DeKD, selection {by}": {"strategy": by} for by in ("random", "least_confidence", "margin")},
}


def variants(run: RunConfig) -> dict[str, dict[str, Any]]:
    return {label: {"method": change} for label, change in CHANGES.items()}


if __name__ == "__main__":
    compare_main("ablations of DeKD", "mrpc", base=SETTINGS, on_sample=ON_SAMPLE, variants=variants)
