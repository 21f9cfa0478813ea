"""How many rows should DeKD's teacher score (S1)? `python sweeps/selection_ratio.py [--corpus mrpc] [--seeds 5]`."""

from typing import Any

from tune_mrpc import ON_SAMPLE, SETTINGS

from kdray.cli.compare import compare_main
from kdray.config import RunConfig

RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


def variants(run: RunConfig) -> dict[str, dict[str, Any]]:
    return {f"r = {r:g}": {"method": {"name": "dekd", "r": r}} for r in RATIOS}


if __name__ == "__main__":
    compare_main("selection ratios", "mrpc", base=SETTINGS, on_sample=ON_SAMPLE, variants=variants)
