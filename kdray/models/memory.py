"""How much memory a model needs, as far as its files tell; for a plan, before anything is loaded."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import transformers

LAYER = re.compile(r"\blayers?\.(\d+)\.")
BYTES = 4  # weights, gradients and both moments of Adam are fp32, also under autocast
PROCESS_BYTES = 450e6  # Python with torch, transformers and Ray (measured)
PER_TOKEN = 34  # values that one layer keeps for the backward pass, in widths (Korthikanti et al. 2022, eq. 1)


@dataclass(frozen=True)
class Weights:
    """Attributes:
    outside: Parameters outside the layers: embeddings, pooler, head.
    each: Parameters of one layer.
    """

    outside: int
    each: int
    layers: int
    width: int

    @staticmethod
    def of(folder: Path) -> "Weights":
        """Read off the headers of a folder's safetensors files and its configuration."""
        config: Any = transformers.AutoConfig.from_pretrained(folder)
        inside, outside, layers = 0, 0, set[int]()
        for name, count in _counts(folder):
            if found := LAYER.search(name):
                layers.add(int(found[1]))
                inside += count
            else:
                outside += count
        return Weights(outside, inside // max(1, len(layers)), len(layers), int(config.hidden_size))

    def parameters(self, layers: int | None = None) -> int:
        return self.outside + self.each * (layers or self.layers)


def training_bytes(weights: Weights, *, layers: int | None, rows: int, tokens: int) -> float:
    """Of a process that trains the model: its own, weights, gradients, moments, and what the backward pass needs.

    Args:
        rows: Rows of one batch on one worker.
        tokens: Of its longest row.
    """
    kept = layers or weights.layers
    activations = rows * tokens * weights.width * kept * PER_TOKEN * BYTES
    return PROCESS_BYTES + 4 * BYTES * weights.parameters(kept) + activations


def asking_bytes(weights: Weights, *, layers: int | None) -> float:
    """Of a process that asks the model, of which only one layer's values are alive at a time."""
    return PROCESS_BYTES + BYTES * weights.parameters(layers)


def _counts(folder: Path) -> Iterable[tuple[str, int]]:
    for file in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is no mapping)
                yield name, math.prod(tensors.get_slice(name).get_shape())
