"""What the attention of an encoder computes inside: queries, keys and values, read off by hooks."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.models.depth import encoder_blocks

# The three projections of a block, as the families name them: BERT and its like, DistilBERT, MPNet.
PROJECTIONS = (
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    ("attention.attn.q", "attention.attn.k", "attention.attn.v"),
)


def num_heads(config: Any) -> int:
    """1 for a family without attention."""
    return int(getattr(config, "num_attention_heads", None) or getattr(config, "n_heads", 1))


@contextmanager
def record_qkv(model: nn.Module, layers: range) -> Generator[list[list[Tensor]]]:
    """While it is open, a forward pass leaves [queries, keys, values] of each of `layers`, each [batch, tokens, width].

    Raises:
        ConfigError: The projections cannot be found.
    """
    blocks = encoder_blocks(model)
    found: list[list[Tensor]] = [[] for _ in layers]
    hooks = [
        projection.register_forward_hook(lambda _module, _inputs, output, kept=kept: kept.append(output))
        for kept, layer in zip(found, layers, strict=True)
        for projection in _projections(model, blocks[layer])
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def split_heads(x: Float[Tensor, "batch tokens width"], heads: int) -> Float[Tensor, "batch heads tokens head_width"]:
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def attention_scores(queries: Tensor, keys: Tensor, heads: int) -> Float[Tensor, "batch heads tokens tokens"]:
    """Scaled scores before softmax, without a mask; float32."""
    q, k = split_heads(queries.float(), heads), split_heads(keys.float(), heads)
    with torch.autocast(q.device.type, enabled=False):
        return q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5


def _projections(model: nn.Module, block: nn.Module) -> list[nn.Module]:
    for names in PROJECTIONS:
        try:
            return [block.get_submodule(name) for name in names]
        except AttributeError:
            continue
    raise ConfigError(
        f"{type(model).__name__}: its attention has no query, key and value projection that kdray knows "
        f"({'; '.join(', '.join(names) for names in PROJECTIONS)}), so methods that copy attention cannot read it."
    )
