"""Texts as token ids: tokenized once, stored without padding, padded per batch to its longest row."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdray.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The tokenizer returns Python lists, 36 bytes a token; this many rows of them exist at a time.
_CHUNK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Encoded:
    """Token ids of many rows, end to end: row i is `input_ids[offsets[i]:offsets[i + 1]]`.

    Attributes:
        input_ids: int32 [tokens], special tokens included.
        token_type_ids: uint8 [tokens], or None where the model takes none.
        offsets: int64 [rows + 1], from 0.
        max_length: no row is longer, and no batch is padded further.
        words: of rows of words, the place of each word's first token in its row; None for rows of texts.
    """

    input_ids: NDArray[np.int32]
    token_type_ids: NDArray[np.uint8] | None
    offsets: NDArray[np.int64]
    max_length: int
    words: "Words | None" = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, int64 [rows]."""
        return np.diff(self.offsets)

    def rows(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> "Encoded":
        """The given rows in the given order, copied; a row may be taken more than once."""
        wanted = np.asarray(indices, dtype=np.int64)
        offsets = _offsets(self.lengths[wanted])
        starts = self.offsets[:-1][wanted] - offsets[:-1]
        source = np.repeat(starts, np.diff(offsets)) + np.arange(offsets[-1])
        types = None if self.token_type_ids is None else self.token_type_ids[source]
        words = None if self.words is None else self.words.rows(wanted)
        return Encoded(self.input_ids[source], types, offsets, self.max_length, words)


@dataclass(frozen=True, eq=False)
class Words:
    """The words of rows.

    Attributes:
        starts: The place of a word's first token in its row, int32 [rows, words]; -1 where the row has no further word,
            or the model does not read it: it lies behind `max_length`, or has no token.
        lengths: Words of each row, int64 [rows].
    """

    starts: NDArray[np.int32]
    lengths: NDArray[np.int64]

    @staticmethod
    def of(starts: Sequence[Sequence[int]]) -> "Words":
        lengths = np.array([len(row) for row in starts], np.int64)
        found = np.full((len(starts), int(lengths.max(initial=0))), -1, np.int32)
        for row, places in enumerate(starts):
            found[row, : len(places)] = places
        return Words(found, lengths)

    @property
    def is_word(self) -> NDArray[np.bool_]:
        """[rows, words]"""
        return np.arange(self.starts.shape[1]) < self.lengths[:, None]

    @property
    def unread(self) -> int:
        """How many words the model does not read."""
        return int(self.lengths.sum() - (self.starts >= 0).sum())

    def rows(self, wanted: NDArray[np.int64]) -> "Words":
        return Words(self.starts[wanted], self.lengths[wanted])


def encode(tokenizer: "PreTrainedTokenizerBase", columns: Sequence[Sequence[Any]], *, max_length: int) -> Encoded:
    """Tokenize every row once. Of a pair, tokens are cut from the longer text first.

    Args:
        tokenizer: a fast one.
        columns: one or two columns of texts, of the same number of rows; or one of lists of words.
        max_length: tokens of a row, special tokens included; at most what the tokenizer allows.

    Raises:
        ConfigError: the tokenizer is a slow one or does not read single words, or `max_length` leaves no room for text
            or is more than it allows.
    """
    assert len(columns) in (1, 2), "a row has one or two texts"
    assert len({len(column) for column in columns}) == 1, "columns must have the same number of rows"
    _check(tokenizer, max_length, is_pair=len(columns) == 2)
    has_types = "token_type_ids" in tokenizer.model_input_names
    are_words = any(isinstance(row, list) for row in columns[0][:1])
    if are_words:
        _check_words(tokenizer)
    starts: list[list[int]] = []
    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.uint8]] = []
    lengths: list[NDArray[np.int64]] = []
    for start in range(0, len(columns[0]), _CHUNK_ROWS):
        texts = [list(column[start : start + _CHUNK_ROWS]) for column in columns]
        chunk: Any = tokenizer(
            texts[0],
            texts[1] if len(texts) == 2 else None,
            truncation="longest_first",
            max_length=max_length,
            is_split_into_words=are_words,
            return_attention_mask=False,
            return_token_type_ids=has_types,
        )
        lengths.append(np.fromiter(map(len, chunk["input_ids"]), np.int64))
        ids.append(np.fromiter(chain.from_iterable(chunk["input_ids"]), np.int32))
        if are_words:
            starts += [_starts(row, chunk.word_ids(at)) for at, row in enumerate(texts[0])]
        if has_types:
            types.append(np.fromiter(chain.from_iterable(chunk["token_type_ids"]), np.uint8))
    return Encoded(
        np.concatenate([*ids, np.empty(0, np.int32)]),
        np.concatenate([*types, np.empty(0, np.uint8)]) if has_types else None,
        _offsets(np.concatenate([*lengths, np.empty(0, np.int64)])),
        max_length,
        Words.of(starts) if are_words else None,
    )


def collate(
    encoded: Encoded, indices: Sequence[int] | NDArray[np.integer[Any]], *, pad_id: int, multiple: int = 8
) -> dict[str, torch.Tensor]:
    """A batch padded on the right, to the longest row rounded up to `multiple`, but never past `max_length`.

    Returns:
        int64 [rows, width] each: `input_ids`, `attention_mask` (1 for a token), and `token_type_ids` if there are any;
        of rows of words also `word_starts`, [rows, words], see `Words`.
    """
    batch = encoded.rows(indices)
    lengths = batch.lengths
    longest = int(lengths.max(initial=0))
    width = min(-(-longest // multiple) * multiple, encoded.max_length)
    is_token = np.arange(width) < lengths[:, None]
    tensors = {
        "input_ids": _padded(batch.input_ids, is_token, pad_id),
        "attention_mask": torch.from_numpy(is_token.astype(np.int64)),
    }
    if batch.token_type_ids is not None:
        tensors["token_type_ids"] = _padded(batch.token_type_ids, is_token, 0)
    if batch.words is not None:
        tensors["word_starts"] = torch.from_numpy(batch.words.starts.astype(np.int64))
    return tensors


def _starts(words: Sequence[str], word_ids: Sequence[int | None]) -> list[int]:
    found = [-1] * len(words)
    for place in range(len(word_ids) - 1, -1, -1):
        if (word := word_ids[place]) is not None:
            found[word] = place
    return found


def _padded(flat: NDArray[Any], is_token: NDArray[np.bool_], fill: int) -> torch.Tensor:
    full = np.full(is_token.shape, fill, np.int64)
    full[is_token] = flat
    return torch.from_numpy(full)


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _check_words(tokenizer: "PreTrainedTokenizerBase") -> None:
    backend: Any = tokenizer.backend_tokenizer
    stored: Any = json.loads(backend.to_str())["pre_tokenizer"] or {}
    for each in stored.get("pretokenizers", [stored]):
        if each.get("type") == "ByteLevel" and not each.get("add_prefix_space"):
            raise ConfigError(
                f"{type(tokenizer).__name__} would read the words of a row without the spaces between them: load the "
                "tokenizer with add_prefix_space=True and save it again."
            )


def _check(tokenizer: "PreTrainedTokenizerBase", max_length: int, *, is_pair: bool) -> None:
    if not tokenizer.is_fast:
        raise ConfigError(f"{type(tokenizer).__name__} is a slow tokenizer: use an encoder that ships tokenizer.json.")
    lowest = int(tokenizer.num_special_tokens_to_add(pair=is_pair)) + (2 if is_pair else 1)
    if not lowest <= max_length <= tokenizer.model_max_length:
        raise ConfigError(
            f"max_length = {max_length}, but this tokenizer allows {lowest} to {tokenizer.model_max_length} tokens."
        )
