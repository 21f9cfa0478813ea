"""Depth: which layers of a deep encoder become those of a shallow one."""

from collections.abc import Sequence
from typing import Any, Literal, cast

from torch import nn

from kdray.errors import ConfigError

LAYER_LISTS = ("encoder.layer", "transformer.layer", "encoder.layers", "layers")  # BERT family, DistilBERT, others
LAYER_NUMBERS = ("layer_idx", "layer_id")  # attributes that hold a module's layer
LISTS = ("layer_types", "attention_window")  # of a configuration, one value a layer


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
    raise ConfigError(
        f"{type(model).__name__} has no list of layers that kdray can cut ({', '.join(LAYER_LISTS)}): its family is "
        "not supported; take an encoder such as BERT, RoBERTa, DistilBERT, ELECTRA, MPNet, DeBERTa-v2 or ModernBERT."
    )


def encoder_blocks(model: nn.Module) -> nn.ModuleList:
    """The blocks of an encoder, from the bottom to the top."""
    holder, name = _layer_list(model)
    return getattr(holder, name)


def num_layers(model: nn.Module) -> int:
    return len(encoder_blocks(model))


def layers_to_keep(init: Literal["bottom", "skip"], *, keep: int | Sequence[int], of: int) -> list[int]:
    """0-based layers: those given, the lowest `keep`, or spread evenly with the last one in (docs/decisions.md D15).

    Raises:
        ConfigError: There are not so many.
    """
    if not isinstance(keep, int):
        if beyond := [layer for layer in keep if layer >= of]:
            raise ConfigError(
                f"student.layers = {list(keep)} names layer {beyond[0]}, but the model it is taken from has the layers "
                f"0 to {of - 1}."
            )
        return list(keep)
    if not 1 <= keep <= of:
        raise ConfigError(f"student.layers = {keep}, but the model it is taken from has {of} layers (1 to {of}).")
    if init == "bottom":
        return list(range(keep))
    return [int(i * of / keep + 0.5) - 1 for i in range(1, keep + 1)]


def cut_layers(model: nn.Module, layers: Sequence[int]) -> None:
    """Cut `model` down, in place, to the given 0-based layers in the given order."""
    holder, name = _layer_list(model)
    every = getattr(holder, name)
    kept = nn.ModuleList(every[i] for i in layers)
    if kept and isinstance(getattr(every[0], "attn_norm", None), nn.Identity):
        kept[0].attn_norm = nn.Identity()  # ModernBERT's first layer has no norm: the embeddings have one
    for place, block in enumerate(kept):
        for module in block.modules():
            for number in LAYER_NUMBERS:
                if isinstance(getattr(module, number, None), int):
                    setattr(module, number, place)
    setattr(holder, name, kept)
    _cut_config(cast(Any, model).config, layers, of=len(every))


def _cut_config(config: Any, layers: Sequence[int], *, of: int) -> None:
    """Its number of layers, and each of its lists with one value a layer (layer types, attention windows)."""
    for key, value in list(vars(config).items()):
        if isinstance(value, list) and len(cast(list[Any], value)) == of and key in LISTS:
            setattr(config, key, [value[i] for i in layers])
    config.num_hidden_layers = len(layers)
