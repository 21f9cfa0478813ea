"""What a model looks like: one record for every architecture."""

from collections.abc import Sequence
from dataclasses import dataclass


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
        gives: The signals of its forward pass; None is all that a transformer gives.
        fitted: It is fitted at once to soft labels, instead of trained by steps.
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
    gives: tuple[str, ...] | None = None
    fitted: bool = False

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
