"""Sweep students for MRPC; as `tune_rte.py`, with teachers straight from the encoder and no pruning of pairs."""

from tune_rte import BASE, ON_SAMPLE, space, starts

from kdray.cli.sweep import sweep_main

MRPC = BASE | {
    "teachers": [
        {"name": "minilm", "train": {"epochs": 4, "learning_rate": 1e-4}},
        {"name": "minilm-b", "train": {"epochs": 4, "learning_rate": 1e-4, "seed": 1}},
    ],
}

if __name__ == "__main__":
    sweep_main("mrpc", base=MRPC, on_sample=ON_SAMPLE, space=space, starts=starts)
