"""What each part of DeKD adds, as in S1: `python sweeps/ablate_dekd.py [--corpus mrpc] [--seeds 5]`."""

from collections.abc import Mapping
from typing import Any

import tune_mrpc
from tune_mrpc import ON_SAMPLE

from kdray.cli.compare import compare_main
from kdray.config import RunConfig
from kdray.papers.recipes import DEKD_PARTS, STRATEGIES

SETTINGS = tune_mrpc.SETTINGS | {"method": {"name": "dekd"}}


def variants(run: RunConfig) -> Mapping[str, Mapping[str, Any]]:
    return {**DEKD_PARTS, **{f"DeKD, selection {by}": {"method.strategy": by} for by in STRATEGIES[1:]}}


if __name__ == "__main__":
    compare_main("ablations of DeKD", "mrpc", base=SETTINGS, on_sample=ON_SAMPLE, variants=variants)
