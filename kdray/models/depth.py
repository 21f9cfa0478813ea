"""Depth: which layers of a deep encoder become those of a shallow one."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from kdray.errors import BadInput

LAYER_LISTS = ("encoder.layer", "transformer.layer", "encoder.layers", "layers")  # BERT family, DistilBERT, others


def _layer_list(model: nn.Module) -> tuple[nn.Module, str]:
    base: nn.Module = getattr(model, "base_model", model)
    for path in LAYER_LISTS:
        parent, _, last = path.rpartition(".")
        try:
            holder = base.get_submodule(parent) if parent else base
        except AttributeError:
            continue
        if isinstance(getattr(holder, last, None), nn.ModuleList):
            return holder, last
    raise BadInput(f"{type(model).__name__} has no list of layers that kdray knows ({', '.join(LAYER_LISTS)}).")


def encoder_blocks(model: nn.Module) -> nn.ModuleList:
    """The blocks of an encoder, from the bottom to the top."""
    holder, name = _layer_list(model)
    return getattr(holder, name)


def num_layers(model: nn.Module) -> int:
    return len(encoder_blocks(model))


def layers_to_keep(init: Literal["bottom", "skip"], *, keep: int, of: int) -> list[int]:
    """0-based layers: the lowest `keep`, or spread evenly with the last one in (docs/decisions.md D15)."""
    if not 1 <= keep <= of:
        raise BadInput(f"student.layers = {keep}, but the model it is taken from has {of} layers (1 to {of}).")
    if init == "bottom":
        return list(range(keep))
    return [int(i * of / keep + 0.5) - 1 for i in range(1, keep + 1)]


def keep_layers(model: nn.Module, layers: Sequence[int]) -> None:
    """Cut `model` down, in place, to the given 0-based layers in the given order."""
    holder, name = _layer_list(model)
    every = getattr(holder, name)
    setattr(holder, name, nn.ModuleList(every[i] for i in layers))
    config: Any = model.config
    config.num_hidden_layers = len(layers)
