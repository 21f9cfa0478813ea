"""How many rows should DeKD's teacher score (S1)? `python sweeps/selection_ratio.py [--corpus mrpc] [--seeds 5]`."""

from typing import Any

import tune_mrpc
from tune_mrpc import ON_SAMPLE

from kdray.cli.compare import compare_main
from kdray.config import RunConfig

SETTINGS = tune_mrpc.SETTINGS | {"method": {"name": "dekd"}}
RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
IDLE = {"strategy": "entropy", "ce_on": "all"}  # settings without effect where every row is selected


def variants(run: RunConfig) -> dict[str, dict[str, Any]]:
    return {f"r = {r:g}": {"method": {"r": r} | (IDLE if r == 1 else {})} for r in RATIOS}


if __name__ == "__main__":
    compare_main("selection ratios", "mrpc", base=SETTINGS, on_sample=ON_SAMPLE, variants=variants)
