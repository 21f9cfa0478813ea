"""One batch's signals of one model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Signals:
    """One model's signals for B rows. Signals that the method does not need are None.

    Attributes:
        logits: Class scores before softmax, float32; of rows of words [batch, words, classes], NaN for words that the
            model does not read.
        cls: The [CLS] vector of every layer; index 0 is the embedding output, 1..L the blocks.
        sent_emb: The mean over real tokens of the last layer.
        mc_probs: Class probabilities, the mean of several passes with dropout.
        hidden: Every token's vector in every layer; index 0 is the embedding output.
        attn: Attention scores before softmax, scaled by the root of the head's width, without the padding mask.
        qkv: Queries, keys and values of every layer, heads side by side.
        qkv_last: Those of the last layer alone.
        mask: Which tokens are real; set if one of the four above is.
    """

    logits: Float[Tensor, "batch classes"]
    cls: Float[Tensor, "batch layers+1 width"] | None = None
    sent_emb: Float[Tensor, "batch width"] | None = None
    mc_probs: Float[Tensor, "batch classes"] | None = None
    hidden: Float[Tensor, "batch layers+1 tokens width"] | None = None
    attn: Float[Tensor, "batch layers heads tokens tokens"] | None = None
    qkv: Float[Tensor, "batch layers 3 tokens width"] | None = None
    qkv_last: Float[Tensor, "batch 3 tokens width"] | None = None
    mask: Bool[Tensor, "batch tokens"] | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Signals":
        """`change` applied to every signal that is there."""
        present = {name: value for name, value in vars(self).items() if value is not None}
        return Signals(**{name: change(value) for name, value in present.items()})

    def detach(self) -> "Signals":
        return self.each(torch.Tensor.detach)

    def to(self, device: torch.device) -> "Signals":
        return self.each(lambda value: value.to(device, non_blocking=True))

    @staticmethod
    def join(parts: Sequence["Signals"]) -> "Signals":
        """The rows of all parts, one after the other; all parts have the same signals."""
        names = [name for name, value in vars(parts[0]).items() if value is not None]
        return Signals(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
