"""Transformers of any family that Hugging Face's library contains and kdray can cut (docs/models.md)."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import transformers
from jaxtyping import Float
from torch import Tensor, zeros

from kdray.models import depth
from kdray.models.architecture import Architecture, Head
from kdray.models.attention import num_heads
from kdray.models.encoders import load_config, load_tokenizer, load_transformer, tokenizer_digest
from kdray.models.folders import stored_shapes
from kdray.models.forward import transformer_signals
from kdray.models.info import ModelInfo
from kdray.signals import Need, Signals

LAYER = re.compile(r"\blayers?\.(\d+)\.")
USAGE = """```python
from transformers import pipeline
classify = pipeline("text-classification", "PATH/TO/THIS/FOLDER", truncation=True)
```"""


class Transformer(Architecture):
    """Layers of a pretrained encoder, with a classifier on top: an ordinary Hugging Face folder."""

    gives: ClassVar[frozenset[Need]] = frozenset({"logits", "cls", "sent_emb", "hidden", "attn", "qkv", "qkv_last"})
    library: ClassVar[str] = "transformers"
    usage: ClassVar[str] = USAGE

    name: Literal["transformer"] = "transformer"  # pyright: ignore[reportIncompatibleVariableOverride]

    def build(self, folder: Path, *, labels: Sequence[str], seed: int, head: Head = "fresh") -> Any:
        return load_transformer(folder, labels=labels, seed=seed, head=head)

    def load(self, folder: Path, *, labels: Sequence[str], seed: int, head: Head = "own") -> Any:
        return load_transformer(folder, labels=labels, seed=seed, head=head)

    def save(self, model: Any, folder: Path) -> None:
        model.save_pretrained(folder)

    def forward(self, model: Any, batch: Mapping[str, Tensor], needs: frozenset[str]) -> Signals:
        return transformer_signals(model, batch, needs)

    def info(self, model: Any, name: str, tokenizer: Any = None) -> ModelInfo:
        outside, each = _counted((name, value.numel()) for name, value in model.named_parameters())
        return ModelInfo(
            name=name,
            layers=depth.num_layers(model),
            width=int(model.config.hidden_size),
            classes=int(model.config.num_labels),
            heads=num_heads(model.config),
            tokenizer=tokenizer_digest(tokenizer) if tokenizer else "",
            outside=outside,
            each=each,
        )

    def expected(self, folder: Path, name: str = "") -> ModelInfo:
        """Read from the folder's configuration, its tokenizer and the headers of its safetensors files."""
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

    def shrink(self, model: Any, layers: Sequence[int]) -> None:
        depth.cut_layers(model, layers)

    def flops(self, model: Any, *, tokens: int) -> int:
        return flops_of(layers=depth.num_layers(model), width=int(model.config.hidden_size), tokens=tokens)

    def scores(self, folder: Path, rows: Sequence[Sequence[str]]) -> Float[Tensor, "rows classes"]:
        """By `transformers.pipeline`, as the model card shows it: whatever the tokenizer's and model's files hold."""
        classify: Any = transformers.pipeline(
            "text-classification", str(folder), device=-1, top_k=None, truncation=True, trust_remote_code=False
        )
        labels: dict[str, int] = classify.model.config.label2id
        found = zeros(len(rows), len(labels))
        for place, row in enumerate(rows):
            for entry in classify([dict(zip(("text", "text_pair"), row, strict=False))])[0]:
                found[place, labels[entry["label"]]] = entry["score"]
        return found


def flops_of(*, layers: int, width: int, tokens: int) -> int:
    """2L(12nd² + 2n²d): the linear maps and the attention of L layers over one row, without embeddings and head."""
    return 2 * layers * (12 * tokens * width**2 + 2 * tokens**2 * width)


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
