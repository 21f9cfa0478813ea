"""A factorized word table: tokens x rank and rank x width instead of tokens x width, as in ALBERT and ELECTRA.

The result is an ELECTRA model, whose layers are those of BERT and RoBERTa, and which has a projection between its
tables and its first layer: an ordinary Hugging Face folder. The old tables end in a LayerNorm, so what counts of a sum
of their rows is its direction, without its mean. Kept are the rank - 1 main directions of the sums of a word, a
position and a token type. They are spread over rank coordinates whose mean is zero, so that the LayerNorm in front of
the projection changes nothing but the length, as the old one did; the projection holds the directions and the old
LayerNorm's weights.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.models.encoders import drawn_from
from kdray.models.tokens import SUFFIX

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "electra")
TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
COUNTED = 0.9  # weight of the tokens by their counts; the rest goes to all tokens alike, so that none is forgotten
ROWS = 8192  # of a table at once
NOT_COPIED = ("model_type", "architectures", "transformers_version", "embedding_size", "max_position_embeddings")


def factorized(model: Any, rank: int, *, seed: int, fresh: bool = False, counts: Sequence[int] | None = None) -> Any:
    """An ELECTRA model with tables of `rank` columns, in eval mode.

    Its layers are those of `model`. So are the weights of its head, but ELECTRA's has GELU where BERT and RoBERTa have
    tanh: a head that was fine-tuned gives other scores.

    Args:
        model: A classifier of sequences or tokens of transformers, which stays as it is.
        seed: Fresh weights are drawn from it.
        fresh: Draw all weights anew.
        counts: How often each token is read, so that the directions are those of tokens that are; None takes all tokens
            as equally likely.

    Raises:
        ConfigError: The family has no such tables, or they have no more than `rank` columns.
    """
    if model.config.model_type not in FAMILIES:
        raise ConfigError(
            f"student.embedding_rank: family {model.config.model_type} has embeddings of another kind, which kdray "
            f"cannot factorize; allowed are {', '.join(FAMILIES)}; leave it out."
        )
    most = min(model.get_input_embeddings().embedding_dim, int(model.config.hidden_size))
    if rank >= most:
        raise ConfigError(
            f"student.embedding_rank = {rank}, but the word table that it is taken from has {most} columns; give fewer."
        )
    of_tokens = type(model).__name__.endswith(SUFFIX)
    kind: Any = (
        transformers.ElectraForTokenClassification if of_tokens else transformers.ElectraForSequenceClassification
    )
    with drawn_from(seed):
        made = kind(_config(model, rank)).float().eval()
    if not fresh:
        with torch.no_grad():
            _copy(model, made, rank, counts)
    return made


def _config(model: Any, rank: int) -> Any:
    plain = {name: value for name, value in model.config.to_dict().items() if name not in NOT_COPIED}
    positions = len(_positions(model))
    return transformers.ElectraConfig(**plain, embedding_size=rank, max_position_embeddings=positions)


def _positions(model: Any) -> Tensor:
    """The rows of the position table, from the first token's on; RoBERTa and its like count from behind the padding."""
    table = model.base_model.embeddings.position_embeddings
    return table.weight if table.padding_idx is None else table.weight[table.padding_idx + 1 :]


def _copy(old: Any, new: Any, rank: int, counts: Sequence[int] | None) -> None:
    before, after = old.base_model, new.base_model
    after.encoder.load_state_dict(before.encoder.state_dict())
    tables = before.embeddings
    rows = [tables.word_embeddings.weight, _positions(old), tables.token_type_embeddings.weight]
    centered = [each.double() - each.double().mean(dim=1, keepdim=True) for each in rows]
    kept = _directions(centered, rank - 1, counts)
    width, spread = len(kept), _spread(rank)
    scale = math.sqrt(rank / width)  # of the tables, so that the LayerNorm's epsilon counts as much as before
    for name, each in zip(TABLES, centered, strict=True):
        getattr(after.embeddings, name).weight.copy_(scale * each @ kept @ spread.T)
    norm = tables.LayerNorm
    weight, bias = norm.weight.double()[:, None] * kept @ spread.T / scale, norm.bias.double()
    if (project := getattr(before, "embeddings_project", None)) is not None:
        weight, bias = project.weight.double() @ weight, project.weight.double() @ bias + project.bias.double()
    after.embeddings_project.weight.copy_(weight)
    after.embeddings_project.bias.copy_(bias)
    _copy_head(old, new)


def _directions(tables: list[Tensor], number: int, counts: Sequence[int] | None) -> Tensor:
    """The main directions [width, number] of sums of one row of each table, words first, whose words have `counts`."""
    weights = [torch.full((len(each), 1), 1 / len(each), dtype=torch.float64) for each in tables]
    if counts is not None and any(counts):
        found = torch.zeros_like(weights[0])  # a table may have more rows than there are tokens
        found[: len(counts), 0] = torch.tensor(counts, dtype=torch.float64)
        weights[0] = COUNTED * found / found.sum() + (1 - COUNTED) * weights[0]
    means = [(weight * each).sum(dim=0) for weight, each in zip(weights, tables, strict=True)]
    total = sum(means[1:], means[0])
    second = torch.outer(total, total)
    for weight, each, mean in zip(weights, tables, means, strict=True):
        second -= torch.outer(mean, mean)
        for rows, parts in zip(each.split(ROWS), weight.split(ROWS), strict=True):
            second += rows.T @ (parts * rows)
    return torch.linalg.eigh(second).eigenvectors.flip(1)[:, :number]


def _spread(rank: int) -> Tensor:
    """Orthonormal columns [rank, rank - 1] whose sums are zero and whose values are of like size: cosines."""
    places, number = torch.arange(rank, dtype=torch.float64), torch.arange(1, rank, dtype=torch.float64)
    return math.sqrt(2 / rank) * torch.cos(math.pi * (2 * places[:, None] + 1) * number / (2 * rank))


def _copy_head(old: Any, new: Any) -> None:
    """Its last layer, and the one before it where there is one (BERT's pooler)."""
    if isinstance(new.classifier, nn.Linear):
        new.classifier.load_state_dict(old.classifier.state_dict())
        return
    last = old.classifier if isinstance(old.classifier, nn.Linear) else old.classifier.out_proj
    dense = old.base_model.pooler.dense if isinstance(old.classifier, nn.Linear) else old.classifier.dense
    new.classifier.out_proj.load_state_dict(last.state_dict())
    new.classifier.dense.load_state_dict(dense.state_dict())
