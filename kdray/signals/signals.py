"""One batch's signals of one model."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Signals:
    """What one model says of B rows. Absent signals are None: a method gets what it declared to need.

    Attributes:
        logits: Class scores before softmax, float32.
        cls: The [CLS] vector of every layer; index 0 is the embedding output, 1..L the blocks.
        sent_emb: The mean over real tokens of the last layer.
    """

    logits: Float[Tensor, "batch classes"]
    cls: Float[Tensor, "batch layers+1 width"] | None = None
    sent_emb: Float[Tensor, "batch width"] | None = None

    def detach(self) -> "Signals":
        return Signals(*(None if x is None else x.detach() for x in (self.logits, self.cls, self.sent_emb)))  # pyright: ignore[reportArgumentType]

    def to(self, device: torch.device) -> "Signals":
        moved = (None if x is None else x.to(device, non_blocking=True) for x in (self.logits, self.cls, self.sent_emb))
        return Signals(*moved)  # pyright: ignore[reportArgumentType]
