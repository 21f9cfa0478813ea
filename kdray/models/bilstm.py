"""A bidirectional LSTM over tokens (methods `kd` and others of logits; survey S2 §3.1).

Source: Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks".
Formula: h = [last state forwards ; last state backwards] over a row's real tokens; logits = W₂·ReLU(W₁·h).
Defaults: one layer of 150 units a direction, 400 units in W₁, vectors of 300; theirs for SST-2 are from the same grid.
Differs from the source: tokens of the encoder, or with `units: words` lower-case words with GloVe's or random vectors,
    instead of words with word2vec vectors; dropout 0.5 before W₁ and W₂.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from kdray.models.network import Words
from kdray.models.word_table import WordNetwork


class BiLSTM(WordNetwork):
    """
    Attributes:
        hidden: Units of each direction.
        layers: Each reads both directions of the one below.
        dense: Units of the layer below the logits.
    """

    name: Literal["bilstm"] = "bilstm"  # pyright: ignore[reportIncompatibleVariableOverride]
    hidden: int = Field(default=150, ge=1, le=10_000)
    layers: int = Field(default=1, ge=1, le=100)
    dense: int = Field(default=400, ge=1, le=100_000)

    def network(self, words: Words, outputs: int) -> nn.Module:
        return _BiLSTM(self, self.table(words), outputs)


class _BiLSTM(nn.Module):
    def __init__(self, settings: BiLSTM, table: nn.Embedding, outputs: int) -> None:
        super().__init__()
        hidden, width = settings.hidden, table.embedding_dim
        widths = [width, *[2 * hidden] * (settings.layers - 1)]
        self.table = table
        self.forwards = nn.ModuleList(nn.LSTM(each, hidden, batch_first=True) for each in widths)
        self.backwards = nn.ModuleList(nn.LSTM(each, hidden, batch_first=True) for each in widths)
        self.dropout = nn.Dropout(settings.dropout)
        self.dense, self.logits = nn.Linear(2 * hidden, settings.dense), nn.Linear(settings.dense, outputs)

    def forward(
        self, input_ids: Int[Tensor, "rows tokens"], attention_mask: Int[Tensor, "rows tokens"]
    ) -> Float[Tensor, "rows outputs"]:
        lengths = attention_mask.sum(1).clamp(min=1)
        right = left = states = self.table(input_ids)
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            right = forwards(states)[0]
            left = _reversed(backwards(_reversed(states, lengths))[0], lengths)
            states = torch.cat([right, left], dim=-1)
        rows = torch.arange(len(input_ids), device=input_ids.device)
        ends = torch.cat([right[rows, lengths - 1], left[:, 0]], dim=-1)
        return self.logits(self.dropout(torch.relu(self.dense(self.dropout(ends)))))


def _reversed(states: Float[Tensor, "rows tokens width"], lengths: Int[Tensor, " rows"]) -> Tensor:
    """Each row's real tokens from the last to the first; what stands behind them is never read."""
    places = torch.arange(states.shape[1], device=states.device)
    back = (lengths[:, None] - 1 - places).clamp(min=0)
    rows = torch.arange(len(states), device=states.device)
    return states[rows[:, None], back]
