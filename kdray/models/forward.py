"""A forward pass of a transformer that gives only the wanted signals."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdray.errors import ConfigError
from kdray.models.attention import attention_scores, num_heads, record_qkv
from kdray.models.depth import num_layers
from kdray.signals import TOKEN_NEEDS, Signals

STATES = frozenset({"cls", "sent_emb", "hidden"})  # taken from hidden states
OTHER_SCORES = ("mpnet", "longformer")  # relative positions, windows


def transformer_signals(model: Any, batch: Mapping[str, Tensor], needs: frozenset[str]) -> Signals:
    """Run `model` (a sequence classifier) on a padded batch; logits always, in float32, the rest if in `needs`."""
    depth = num_layers(model) if needs & TOKEN_NEEDS else 0
    if "attn" in needs and model.config.model_type in OTHER_SCORES:
        raise ConfigError(
            f"{type(model).__name__} attends by more than queries and keys, so methods that copy attention scores "
            "cannot read it; take an encoder such as BERT, or a method such as minilmv2."
        )
    first = 0 if needs & {"attn", "qkv"} else depth - 1
    recorded = range(first, depth) if needs & {"attn", "qkv", "qkv_last"} else range(0)
    with record_qkv(model, recorded) if recorded else nullcontext([]) as qkv:
        out = model(**batch, output_hidden_states=bool(needs & STATES))
    return signals_of(model, out, qkv, batch["attention_mask"], needs)


def signals_of(
    model: Any, out: Any, qkv: Sequence[list[Tensor]], mask: Int[Tensor, "batch tokens"], needs: frozenset[str]
) -> Signals:
    """The wanted signals of a forward pass.

    Args:
        out: What the model returned, with hidden states if `needs` has one of `STATES`.
        qkv: What `record_qkv` found, of all layers or of the last one.
    """
    states: Any = out.hidden_states if needs & STATES else ()
    heads = num_heads(model.config) if "attn" in needs else 0
    return Signals(
        logits=out.logits.float(),
        cls=torch.stack([state[:, 0] for state in states], dim=1).float() if "cls" in needs else None,
        sent_emb=masked_mean(states[-1], mask) if "sent_emb" in needs else None,
        hidden=torch.stack(tuple(states), dim=1).float() if "hidden" in needs else None,
        attn=torch.stack([attention_scores(q, k, heads) for q, k, _ in qkv], dim=1) if "attn" in needs else None,
        qkv=torch.stack([torch.stack(layer, dim=1) for layer in qkv], dim=1).float() if "qkv" in needs else None,
        qkv_last=torch.stack(qkv[-1], dim=1).float() if "qkv_last" in needs else None,
        mask=mask.bool() if needs & TOKEN_NEEDS else None,
    )


def masked_mean(
    states: Float[Tensor, "batch tokens width"], mask: Int[Tensor, "batch tokens"]
) -> Float[Tensor, "batch width"]:
    """The mean over real tokens, in float32."""
    weight = mask.unsqueeze(-1).float()
    return (states.float() * weight).sum(1) / weight.sum(1).clamp(min=1.0)
