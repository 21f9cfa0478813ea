"""A linear classifier over the n-grams of a row: what classic students are once they are fitted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kdray.corpora import Encoded, collate
from kdray.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK_ROWS = 256


@dataclass(frozen=True)
class Grams:
    """How rows become n-grams.

    Attributes:
        shortest, longest: Tokens of an n-gram.
        is_scaled: TF-IDF instead of counts: counts times a scale of each n-gram, and each row of length 1.
    """

    shortest: int
    longest: int
    is_scaled: bool


class BagOfGrams(nn.Module):
    """logits = W·x + b, where x counts the n-grams of a row, or is their TF-IDF.

    An n-gram is one number, its tokens' codes as digits; a row's n-grams are found among the sorted `keys` by halving.
    N-grams with a special token count nowhere.

    Args:
        codes: Of each token, 1 or more; 0 for special tokens.
        keys: The known n-grams, ascending, one or more.
    """

    codes: Tensor
    keys: Tensor
    scale: Tensor

    def __init__(
        self,
        grams: Grams,
        codes: Int[Tensor, " tokens"],
        keys: Int[Tensor, " features"],
        scale: Float[Tensor, " features"],
        outputs: int,
    ) -> None:
        super().__init__()
        self.grams, self.base, self.known = grams, len(codes) + 1, len(keys)
        self.register_buffer("codes", codes)
        self.register_buffer("keys", keys)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(len(keys), outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, input_ids: Int[Tensor, "rows tokens"], attention_mask: Int[Tensor, "rows tokens"]
    ) -> Float[Tensor, "rows outputs"]:
        found = self.found(input_ids, attention_mask)
        places = self._places(found)
        counts = torch.zeros(len(input_ids), self.known + 1, device=input_ids.device)
        counts = counts.scatter_add(1, places, torch.ones_like(places, dtype=counts.dtype))[:, : self.known]
        if self.grams.is_scaled:
            counts = counts * self.scale
            counts = counts / counts.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        return self.linear(counts)

    def found(
        self, input_ids: Int[Tensor, "rows tokens"], attention_mask: Int[Tensor, "rows tokens"]
    ) -> Int[Tensor, "rows windows"]:
        """The number of every n-gram of each row; 0 where a window holds a special token or reaches over the end."""
        codes = self.codes[input_ids] * attention_mask
        gram, every = codes, [codes] if self.grams.shortest == 1 else []
        for length in range(2, self.grams.longest + 1):
            last = functional.pad(codes, (0, length - 1))[:, length - 1 :]
            gram = torch.where((gram > 0) & (last > 0), gram * self.base + last, 0)
            if length >= self.grams.shortest:
                every.append(gram)
        return torch.cat(every, dim=1)

    def _places(self, found: Int[Tensor, "rows windows"]) -> Int[Tensor, "rows windows"]:
        """Where each n-gram stands in `keys`; behind them where it is unknown."""
        low = torch.zeros_like(found)
        step = 1 << max(0, (self.known - 1).bit_length() - 1)
        while step:  # low is the last place whose key is not above the n-gram's
            there = (low + step).clamp(max=self.known - 1)
            low = torch.where(self.keys[there] <= found, there, low)
            step //= 2
        return torch.where(self.keys[low] == found, low, self.known)


def empty_bag(grams: Grams, codes: Int[Tensor, " tokens"], outputs: int) -> BagOfGrams:
    """It knows no n-gram that a row can hold."""
    return BagOfGrams(grams, codes, torch.zeros(1, dtype=torch.int64), torch.ones(1), outputs)


def codes_of(tokenizer: Any, grams: Grams) -> Int[Tensor, " tokens"]:
    """
    Raises:
        ConfigError: The tokenizer has too many tokens for n-grams of that length.
    """
    codes = torch.arange(1, max(tokenizer.get_vocab().values()) + 2)
    codes[tokenizer.all_special_ids] = 0
    if (len(codes) + 1) ** grams.longest >= 2**63:
        raise ConfigError(
            f"n-grams of {grams.longest} units cannot be told apart with a vocabulary of {len(codes):,}; lower the "
            "second number of student.architecture.ngrams."
        )
    return codes


@dataclass(frozen=True)
class Counted:
    """The n-grams of rows: entry i is `times[i]` occurrences of the n-gram `grams[i]` in row `rows[i]`."""

    rows: NDArray[np.int64]
    grams: NDArray[np.int64]
    times: NDArray[np.int64]
    number: int

    def choose(self, *, most: int, min_rows: int) -> NDArray[np.int64]:
        """The most frequent n-grams of those in `min_rows` rows or more, ascending; of equals the smaller number."""
        known, place = np.unique(self.grams, return_inverse=True)
        rows, times = np.bincount(place), np.bincount(place, weights=self.times)
        wanted = np.flatnonzero(rows >= min_rows)
        order = np.lexsort((known[wanted], -times[wanted]))[:most]
        return np.sort(known[wanted[order]])

    def matrix(self, keys: NDArray[np.int64]) -> "csr_matrix":
        """Counts of the n-grams `keys`, float64 [rows, keys]."""
        place = np.minimum(np.searchsorted(keys, self.grams), len(keys) - 1)
        is_known = keys[place] == self.grams
        entries = (self.times[is_known].astype(np.float64), (self.rows[is_known], place[is_known]))
        from scipy.sparse import csr_matrix

        return csr_matrix(entries, shape=(self.number, len(keys)))


def count_grams(bag: BagOfGrams, encoded: Encoded, *, pad_id: int) -> Counted:
    """Every n-gram of every row, known or not."""
    parts: list[tuple[NDArray[np.int64], ...]] = []
    order = np.argsort(encoded.lengths, kind="stable")
    for start in range(0, len(order), CHUNK_ROWS):
        rows = order[start : start + CHUNK_ROWS]
        batch = collate(encoded, rows, pad_id=pad_id)
        found = bag.found(batch["input_ids"], batch["attention_mask"]).numpy()
        for row, grams in zip(rows, found, strict=True):
            different, times = np.unique(grams[grams > 0], return_counts=True)
            parts.append((np.full(len(different), row), different, times))
    rows, grams, times = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Counted(rows, grams, times, len(encoded))


def idf_of(counts: "csr_matrix") -> NDArray[np.float64]:
    """ln((1 + rows) / (1 + rows with the n-gram)) + 1, as scikit-learn's `TfidfTransformer`."""
    rows = len(counts.indptr) - 1
    return np.log((1 + rows) / (1 + counts.getnnz(axis=0))) + 1


def unit_rows(counts: "csr_matrix", scale: NDArray[np.float64]) -> "csr_matrix":
    """Each row times `scale`, at length 1."""
    from scipy.sparse import csr_matrix

    scaled = csr_matrix(counts.multiply(scale))
    lengths = np.sqrt(scaled.multiply(scaled).sum(axis=1)).A1
    return csr_matrix(scaled.multiply(1 / np.maximum(lengths, 1e-12)[:, None]))
