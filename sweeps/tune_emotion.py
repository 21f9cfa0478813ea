"""Sweep students for Emotion; as `tune_mrpc.py`."""

from tune_mrpc import based
from tune_rte import ON_SAMPLE, space, starts

from kdray.cli.sweep import sweep_main

SETTINGS = based(epochs=3, learning_rate=1e-4, max_length=64)

if __name__ == "__main__":
    sweep_main("emotion", base=SETTINGS, on_sample=ON_SAMPLE, space=space, starts=starts)
