"""Sweep students for MRPC; as `tune_rte.py`, with teachers straight from the encoder."""

from typing import Any

from tune_rte import BASE, ON_SAMPLE, space, starts

from kdray.cli.sweep import sweep_main


def based(*, prune: dict[str, Any] | None = None, **train: Any) -> dict[str, Any]:
    """The base of a task: two teachers that differ by their seed, trained like this."""
    teachers = [{"name": "minilm", "train": train}, {"name": "minilm-b", "train": train | {"seed": 1}}]
    return BASE | {"teachers": teachers} | ({"prune": prune} if prune else {})


SETTINGS = based(epochs=4, learning_rate=1e-4)

if __name__ == "__main__":
    sweep_main("mrpc", base=SETTINGS, on_sample=ON_SAMPLE, space=space, starts=starts)
