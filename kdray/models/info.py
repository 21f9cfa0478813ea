"""What a model looks like: one record, read from a folder before anything is loaded, or from a loaded model."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdray.models.attention import num_heads
from kdray.models.depth import num_layers
from kdray.models.encoders import load_config, load_tokenizer, tokenizer_digest
from kdray.models.folders import stored_shapes

LAYER = re.compile(r"\blayers?\.(\d+)\.")


@dataclass(frozen=True)
class ModelInfo:
    """
    Attributes:
        width: Of its hidden vectors.
        classes: Outputs of its head.
        heads: Attention heads of a layer.
        tokenizer: Equal for two models that cut every text into the same tokens.
        known: The classes that it scores, as indices of the task's, in the order of its outputs; None is all of them.
        outside: Parameters outside the layers: embeddings, pooler, head.
        each: Parameters of one layer.
    """

    name: str
    layers: int
    width: int
    classes: int
    heads: int = 1
    tokenizer: str = ""
    known: tuple[int, ...] | None = None
    outside: int = 0
    each: int = 0

    def parameters(self, layers: int | None = None) -> int:
        """With that many layers; None is all of them."""
        return self.outside + self.each * (layers or self.layers)

    def shapes(self, kinds: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """The shape of one row's signals, by kind."""
        every = {
            "logits": (self.classes,),
            "cls": (self.layers + 1, self.width),
            "sent_emb": (self.width,),
            "mc_probs": (self.classes,),
        }
        return {kind: every[kind] for kind in kinds}


def folder_info(folder: Path, name: str = "") -> ModelInfo:
    """Read from a folder's configuration, its tokenizer and the headers of its safetensors files."""
    config = load_config(folder)
    outside, each = _counted((name, math.prod(shape)) for name, shape in stored_shapes(folder))
    return ModelInfo(
        name=name or folder.name,
        layers=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        classes=int(config.num_labels),
        heads=num_heads(config),
        tokenizer=tokenizer_digest(load_tokenizer(folder)),
        outside=outside,
        each=each,
    )


def model_info(model: Any, name: str, tokenizer: Any = None) -> ModelInfo:
    """Read from a loaded model; without a tokenizer, `ModelInfo.tokenizer` stays empty."""
    outside, each = _counted((name, value.numel()) for name, value in model.named_parameters())
    return ModelInfo(
        name=name,
        layers=num_layers(model),
        width=int(model.config.hidden_size),
        classes=int(model.config.num_labels),
        heads=num_heads(model.config),
        tokenizer=tokenizer_digest(tokenizer) if tokenizer else "",
        outside=outside,
        each=each,
    )


def _counted(parameters: Iterable[tuple[str, int]]) -> tuple[int, int]:
    """Parameters outside the layers, and those of one layer."""
    inside, outside, layers = 0, 0, set[int]()
    for name, count in parameters:
        if found := LAYER.search(name):
            layers.add(int(found[1]))
            inside += count
        else:
            outside += count
    return outside, inside // max(1, len(layers))
