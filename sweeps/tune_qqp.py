"""Sweep students for QQP; as `tune_mrpc.py`, protecting no medoids, for which every unit would be embedded."""

from tune_mrpc import based
from tune_rte import ON_SAMPLE, space, starts

from kdray.cli.sweep import sweep_main

SETTINGS = based(epochs=2, learning_rate=5e-5, prune={"keep_medoids": "none"})

if __name__ == "__main__":
    sweep_main("qqp", base=SETTINGS, on_sample=ON_SAMPLE, space=space, starts=starts)
