"""Narrower students: fewer hidden units, heads, feed-forward units or table columns than the model they are taken from.

With `importance`, the units that matter most keep their weights: feed-forward units and heads by the product of the
norms of the weights that write and read them, in each layer by itself; the hidden units, which all layers share, by the
norms of what reads them. Nothing is computed from texts. With `fresh`, all weights are drawn anew. A factorized word
table is made of what is left (`embedding_rank.py`).
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from kdray.errors import ConfigError
from kdray.models.depth import encoder_blocks
from kdray.models.embedding_rank import factorized
from kdray.models.encoders import drawn_from

Weights = Literal["importance", "fresh"]
READS = ("attention.self.query", "attention.self.key", "attention.self.value", "intermediate.dense")
WRITES = ("attention.output.dense", "output.dense")
LAYER = re.compile(r"\.layer\.(\d+)\.(.*)\.(weight|bias)$")
FAMILIES = "BERT, RoBERTa, ELECTRA and those built like them"


@dataclass(frozen=True)
class Narrow:
    """What a student is cut to; None keeps the number.

    Attributes:
        width: Hidden units.
        heads: Attention heads of a layer.
        intermediate: Units of a layer's feed-forward part.
        weights: Which weights are kept, if any.
        embedding_rank: Columns of the word table, which makes the model one of ELECTRA's family.
    """

    width: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    weights: Weights = "importance"
    embedding_rank: int | None = None

    @property
    def is_idle(self) -> bool:
        return self.keeps_layers and self.embedding_rank is None

    @property
    def keeps_layers(self) -> bool:
        return self.width is None and self.heads is None and self.intermediate is None

    def sizes(self, config: Any) -> tuple[int, int, int]:
        """Width, heads and intermediate of what `config` describes, cut.

        Raises:
            ConfigError: They are not smaller, or do not fit together.
        """
        old = int(config.hidden_size), int(config.num_attention_heads), int(config.intermediate_size)
        width, intermediate = self.width or old[0], self.intermediate or old[2]
        size = old[0] // old[1]
        heads = self.heads or (width // size if width % size == 0 else 0)
        for name, new, most in zip(("width", "heads", "intermediate"), (width, heads, intermediate), old, strict=True):
            if new > most:
                raise ConfigError(f"student.{name} = {new}, but the model it is taken from has {most}; give fewer.")
        if not heads or width % heads:
            parts = f"student.heads = {heads}" if heads else f"the size of a head, {size}"
            raise ConfigError(
                f"student.width = {width} is no multiple of {parts}; give another width, or student.heads that "
                "divide it."
            )
        if self.weights == "importance" and width // heads > size:
            raise ConfigError(
                f"student.width = {width} with student.heads = {heads} has heads of {width // heads} units, but those "
                f"of the model it is taken from have {size}; take more heads, a smaller width or student.weights=fresh."
            )
        return width, heads, intermediate


def narrowed(model: Any, narrow: Narrow, *, seed: int, counts: Sequence[int] | None = None) -> Any:
    """A narrower model, in eval mode; of the same class, but for `embedding_rank`.

    Args:
        model: A sequence classifier of transformers, which stays as it is.
        seed: Fresh weights are drawn from it.
        counts: How often each token is read, for the main directions of a factorized word table.

    Raises:
        ConfigError: The family cannot be narrowed, or the sizes do not fit.
    """
    if not narrow.keeps_layers:
        model = _with_narrower_layers(model, narrow, seed=seed)
    if narrow.embedding_rank is None:
        return model
    return factorized(model, narrow.embedding_rank, seed=seed, fresh=narrow.weights == "fresh", counts=counts)


def _with_narrower_layers(model: Any, narrow: Narrow, *, seed: int) -> Any:
    _check_family(model)
    width, heads, intermediate = narrow.sizes(model.config)
    config = copy.deepcopy(model.config)
    if getattr(config, "embedding_size", None) == config.hidden_size:
        config.embedding_size = width
    config.hidden_size, config.num_attention_heads, config.intermediate_size = width, heads, intermediate
    with drawn_from(seed):
        made = type(model)(config).float().eval()
    if narrow.weights == "importance":
        with torch.no_grad():
            _copy(model, made)
    return made


def _check_family(model: Any) -> None:
    for block in encoder_blocks(model):
        names = {name for name, _ in block.named_modules()}
        if missing := [name for name in (*READS, *WRITES) if name not in names]:
            raise ConfigError(
                f"student.width, heads and intermediate: family {model.config.model_type} has no {missing[0]!r} in its "
                f"layers, so kdray cannot narrow it; allowed are {FAMILIES}."
            )


def _copy(old: Any, new: Any) -> None:
    """The kept slices of each weight of `old` into `new`."""
    state: Mapping[str, Tensor] = old.state_dict()
    hidden = _most(_importance_of_hidden(old), new.config.hidden_size)
    layers = [_inside(block, old.config, new.config) for block in encoder_blocks(old)]
    for name, target in new.state_dict().items():
        source = state[name]
        for axis, kept in enumerate(_axes(name, source, hidden, layers, old.config.hidden_size)):
            if kept is not None:
                source = source.index_select(axis, kept)
        target.copy_(source)


def _axes(
    name: str, source: Tensor, hidden: Tensor, layers: Sequence[tuple[Tensor, Tensor]], width: int
) -> list[Tensor | None]:
    """Which units of each axis are kept; None keeps all."""
    if (found := LAYER.search(name)) is not None:
        attention, inner = layers[int(found[1])]
        both: dict[str, list[Tensor | None]] = {
            "attention.self.query": [attention, hidden],
            "attention.self.key": [attention, hidden],
            "attention.self.value": [attention, hidden],
            "attention.output.dense": [hidden, attention],
            "intermediate.dense": [inner, hidden],
            "output.dense": [hidden, inner],
        }
        if found[2] in both:
            return both[found[2]][: source.ndim]
    if "embeddings." in name and source.ndim == 2:  # a table may have as many rows as the model is wide
        return [None, hidden if source.shape[1] == width else None]
    return [hidden if size == width else None for size in source.shape]


def _inside(block: Any, old: Any, new: Any) -> tuple[Tensor, Tensor]:
    """The kept units of a block: those of its attention, by head, and those of its feed-forward part."""
    weight = {name: block.get_submodule(name).weight.double() for name in (*READS, *WRITES)}
    written = weight["attention.output.dense"].norm(dim=0)
    units = weight["attention.self.value"].norm(dim=1) * written
    units = units + weight["attention.self.query"].norm(dim=1) * weight["attention.self.key"].norm(dim=1)
    by_head = units.reshape(old.num_attention_heads, -1)
    heads = _most(by_head.sum(dim=1), new.num_attention_heads)
    size = new.hidden_size // new.num_attention_heads
    attention = torch.cat([int(head) * by_head.shape[1] + _most(by_head[head], size) for head in heads])
    inner = weight["intermediate.dense"].norm(dim=1) * weight["output.dense"].norm(dim=0)
    return attention, _most(inner, new.intermediate_size)


def _importance_of_hidden(model: Any) -> Tensor:
    """Of each hidden unit, what all layers read of it."""
    total: Any = 0.0
    for block in encoder_blocks(model):
        for name in READS:
            weight: Any = block.get_submodule(name).weight
            total = total + weight.double().square().sum(dim=0)
    return total


def _most(importance: Tensor, number: int) -> Tensor:
    """The places of the largest values, in their order; of equals the first."""
    return torch.sort(torch.sort(importance, descending=True, stable=True).indices[:number]).values
