"""Sweep students for SST-2; as `tune_mrpc.py`, protecting no centres: the graph ends at 20,000 units."""

from tune_mrpc import MRPC
from tune_rte import ON_SAMPLE, space, starts

from kdray.cli.sweep import sweep_main

SST2 = MRPC | {"prune": {"policy": "lower_tail", "protect": "none"}}

if __name__ == "__main__":
    sweep_main("sst2", base=SST2, on_sample=ON_SAMPLE, space=space, starts=starts)
