"""Convolutions over tokens with a maximum over time (methods `kd`, `takd` and others of logits; survey S2 §2.3, §3.1).

Source: Kim 2014, "Convolutional Neural Networks for Sentence Classification"; Dong et al. (S2) as a student of BERT.
Formula: f_k = max_t ReLU(W_k·[x_t; …; x_{t+k−1}] + b_k) for every width k; logits = W·dropout([f_3; f_4; f_5]).
Defaults: vectors of 300, widths 3, 4 and 5 with 100 filters each, dropout 0.5.
Differs from the source: tokens of the encoder instead of words, unless `units: words`; windows may reach over both ends
    of a row, so that rows shorter than a filter are read too; no limit of the norm of W.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from kdray.models.network import Words
from kdray.models.word_table import WordNetwork


class TextCNN(WordNetwork):
    """
    Attributes:
        widths: Of the filters, in tokens.
        filters: Of each width.
    """

    name: Literal["textcnn"] = "textcnn"  # pyright: ignore[reportIncompatibleVariableOverride]
    widths: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(default=(3, 4, 5), min_length=1)
    filters: int = Field(default=100, ge=1, le=100_000)

    def network(self, words: Words, outputs: int) -> nn.Module:
        return _TextCNN(self, self.table(words), outputs)


class _TextCNN(nn.Module):
    def __init__(self, settings: TextCNN, table: nn.Embedding, outputs: int) -> None:
        super().__init__()
        self.table, self.widths = table, settings.widths
        self.filters = nn.ModuleList(
            nn.Conv1d(table.embedding_dim, settings.filters, width, padding=width - 1) for width in settings.widths
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.logits = nn.Linear(settings.filters * len(settings.widths), outputs)

    def forward(
        self, input_ids: Int[Tensor, "rows tokens"], attention_mask: Int[Tensor, "rows tokens"]
    ) -> Float[Tensor, "rows outputs"]:
        lengths = attention_mask.sum(1)
        vectors = self.table(input_ids).transpose(1, 2) * attention_mask.unsqueeze(1)
        beyond = [width - 1 for width in self.widths]
        found = [_highest(each(vectors), lengths + more) for each, more in zip(self.filters, beyond, strict=True)]
        return self.logits(self.dropout(torch.cat(found, 1)))


def _highest(values: Float[Tensor, "rows filters windows"], count: Int[Tensor, " rows"]) -> Tensor:
    """The maximum of ReLU over the windows that hold a real token; it is 0 or more, so 0 stands for the others."""
    windows = torch.arange(values.shape[-1], device=values.device)
    holds = windows < count[:, None]
    return (torch.relu(values) * holds.unsqueeze(1)).amax(-1)
