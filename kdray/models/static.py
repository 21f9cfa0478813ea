"""The mean of token vectors below a linear layer: the fastest neural student (method `kd` and others of logits).

Source: Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods"; Model2Vec distills such vectors.
Formula: h = mean_t x_t over a row's real tokens; logits = W·dropout(h) + b; with `hidden`, ReLU(W₁·dropout(h)) as h.
Defaults: vectors begin as the word table of the encoder or teacher and are trained; no hidden layer; dropout 0.1.
Differs from the source: Model2Vec runs each token through the encoder, reduces the width and scales by rank; here the
    training finds vectors and their lengths.
"""

from typing import Literal

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from kdray.models.network import NetworkModel, Words
from kdray.models.word_table import WordNetwork
from kdray.records import Name


class Static(WordNetwork):
    """
    Attributes:
        hidden: Units of a layer below the logits; 0 is none.
    """

    name: Literal["static"] = "static"  # pyright: ignore[reportIncompatibleVariableOverride]
    vectors: Name = "encoder"
    dropout: float = Field(default=0.1, ge=0, lt=1)
    hidden: int = Field(default=0, ge=0, le=100_000)

    def network(self, words: Words, outputs: int) -> nn.Module:
        return _Static(self, self.table(words), outputs)

    def flops(self, model: NetworkModel, *, tokens: int) -> int:
        """The sum of the vectors, and the layers once a row."""
        network = model.network
        assert isinstance(network, _Static)
        layers = sum(each.numel() for part in (network.hidden, network.logits) for each in part.parameters())
        return tokens * network.table.embedding_dim + 2 * layers


class _Static(nn.Module):
    def __init__(self, settings: Static, table: nn.Embedding, outputs: int) -> None:
        super().__init__()
        width = table.embedding_dim
        self.table, dropout = table, nn.Dropout(settings.dropout)
        layers = [nn.Linear(width, settings.hidden), nn.ReLU(), dropout] if settings.hidden else []
        self.hidden = nn.Sequential(dropout, *layers)
        self.logits = nn.Linear(settings.hidden or width, outputs)

    def forward(
        self, input_ids: Int[Tensor, "rows tokens"], attention_mask: Int[Tensor, "rows tokens"]
    ) -> Float[Tensor, "rows outputs"]:
        mask = attention_mask.unsqueeze(-1).to(self.table.weight.dtype)
        mean = (self.table(input_ids) * mask).sum(1) / mask.sum(1).clamp(min=1)
        return self.logits(self.hidden(mean))
