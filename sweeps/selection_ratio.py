"""Which rows should DeKD's teacher score, and how many (S1 Figure 2)?

`python sweeps/selection_ratio.py [--corpus emotion] [--seeds 5]` trains the four strategies at each ratio;
`method.strategy=entropy` trains one of them.
"""

from collections.abc import Mapping
from typing import Any

import tune_mrpc
from tune_mrpc import ON_SAMPLE

from kdray.cli.compare import compare_main
from kdray.config import RunConfig
from kdray.papers.recipes import STRATEGIES, selection_ratios

SETTINGS = tune_mrpc.SETTINGS | {"method": {"name": "dekd"}}


def variants(run: RunConfig) -> Mapping[str, Mapping[str, Any]]:
    """Every strategy and ratio, or the ratios of the strategy that was given."""
    given = run.method.model_dump(include=run.method.model_fields_set).get("strategy")
    return selection_ratios([given] if given else STRATEGIES)


if __name__ == "__main__":
    compare_main("selection ratios", "mrpc", base=SETTINGS, on_sample=ON_SAMPLE, variants=variants)
