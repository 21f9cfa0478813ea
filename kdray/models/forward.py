"""A forward pass that gives just the signals asked for."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdray.signals import Signals


def forward(model: Any, batch: Mapping[str, Tensor], needs: frozenset[str]) -> Signals:
    """Run `model` (a sequence classifier) on a padded batch; logits always, in float32, the rest if in `needs`."""
    wants_states = bool(needs & {"cls", "sent_emb"})
    out = model(**batch, output_hidden_states=wants_states)
    states: Any = out.hidden_states if wants_states else ()
    return Signals(
        logits=out.logits.float(),
        cls=torch.stack([state[:, 0] for state in states], dim=1).float() if "cls" in needs else None,
        sent_emb=masked_mean(states[-1], batch["attention_mask"]) if "sent_emb" in needs else None,
    )


def masked_mean(
    states: Float[Tensor, "batch tokens width"], mask: Int[Tensor, "batch tokens"]
) -> Float[Tensor, "batch width"]:
    """The mean over real tokens, in float32."""
    weight = mask.unsqueeze(-1).float()
    return (states.float() * weight).sum(1) / weight.sum(1).clamp(min=1.0)
