"""How deep should DeKD's assistant be (S1)? `python sweeps/ta_depth.py [--corpus mrpc] [student.layers=2]`."""

from typing import Any

import tune_mrpc
from tune_mrpc import ON_SAMPLE

from kdray.cli.compare import compare_main
from kdray.config import RunConfig

SETTINGS = tune_mrpc.SETTINGS | {"method": {"name": "dekd"}}


def variants(run: RunConfig) -> dict[str, dict[str, Any]]:
    depths = range(run.student.depth + 1, run.teachers[0].depth)
    every = {f"assistant of {depth} layers": {"method": {"assistant": True, "ta_depth": depth}} for depth in depths}
    return {"no assistant": {"method": {"assistant": False, "ta_depth": None}}, **every}


if __name__ == "__main__":
    compare_main("assistant depths", "mrpc", base=SETTINGS, on_sample=ON_SAMPLE, variants=variants)
