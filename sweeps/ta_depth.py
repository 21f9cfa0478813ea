"""How deep should DeKD's assistant be (S1)? `python sweeps/ta_depth.py [--corpus mrpc] [student.layers=2]`."""

from typing import Any

from tune_mrpc import ON_SAMPLE, SETTINGS

from kdray.cli.compare import compare_main
from kdray.config import RunConfig
from kdray.models import encoder_layers


def variants(run: RunConfig) -> dict[str, dict[str, Any]]:
    teacher = run.teachers[0].layers or encoder_layers(run.teachers[0].encoder)
    depths = range(run.student.layers + 1, teacher)
    every = {f"assistant of {depth} layers": {"method": {"name": "dekd", "ta_depth": depth}} for depth in depths}
    return {"no assistant": {"method": {"name": "dekd", "assistant": False}}, **every}


if __name__ == "__main__":
    compare_main("assistant depths", "mrpc", base=SETTINGS, on_sample=ON_SAMPLE, variants=variants)
