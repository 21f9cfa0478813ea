"""Which rows should DeKD's teacher score, and how many (S1 Figure 2)?

`python sweeps/selection_ratio.py [--corpus emotion] [--seeds 5]` trains the four strategies at each ratio;
`method.strategy=entropy` trains one of them.
"""

from typing import Any

import tune_mrpc
from tune_mrpc import ON_SAMPLE

from kdray.cli.compare import compare_main
from kdray.config import RunConfig

SETTINGS = tune_mrpc.SETTINGS | {"method": {"name": "dekd"}}
RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
STRATEGIES = ("entropy", "random", "least_confidence", "margin")
IDLE = {"strategy": "entropy", "ce_on": "all"}  # settings without effect where every row is selected


def variants(run: RunConfig) -> dict[str, dict[str, Any]]:
    """Every strategy and ratio, or the ratios of the strategy that was given; at r = 1 all strategies are one."""
    given = run.method.model_dump(include=run.method.model_fields_set).get("strategy")
    pairs = [(strategy, r) for strategy in ([given] if given else STRATEGIES) for r in RATIOS if r < 1]
    ratios = {f"{strategy}, r = {r:g}": {"method": {"strategy": strategy, "r": r}} for strategy, r in pairs}
    return {**ratios, "r = 1": {"method": {"r": 1.0} | IDLE}}


if __name__ == "__main__":
    compare_main("selection ratios", "mrpc", base=SETTINGS, on_sample=ON_SAMPLE, variants=variants)
