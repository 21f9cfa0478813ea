"""A table of word vectors that is random, an encoder's, or read from a text file such as GloVe's."""

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.models.encoders import load_transformer
from kdray.models.network import Network, Words
from kdray.models.network_config import NetworkConfig
from kdray.records import Name

NOT_FILES = ("random", "encoder")


class WordNetwork(Network):
    """
    Attributes:
        embedding: Width of random word vectors.
        vectors: `random`; `encoder`: the word table of the encoder or teacher whose tokenizer the student has; or a
            text file with a word and its values on each line (GloVe): tokens that are not in it begin at random.
        dropout: In the training.
    """

    embedding: int = Field(default=300, ge=1, le=100_000)
    vectors: Name = "random"
    dropout: float = Field(default=0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _width_is_used(self) -> "WordNetwork":
        if self.vectors != "random" and self.embedding != type(self).model_fields["embedding"].default:
            raise ValueError("embedding has no effect, because vectors gives the width; leave it out")
        return self

    @property
    def files(self) -> dict[str, Path]:
        return {} if self.vectors in NOT_FILES else {"vectors": _regular(Path(self.vectors).expanduser())}

    def table(self, words: Words) -> nn.Embedding:
        """The padding token's vector is zero and stays so."""
        width = self.embedding if words.vectors is None else words.vectors.shape[1]
        table = nn.Embedding(words.count, width, padding_idx=words.padding)
        if words.vectors is not None:
            with torch.no_grad():
                table.weight.copy_(words.vectors)
                table.weight[words.padding] = 0
        return table

    def word_vectors(
        self, tokenizer: Any, folder: Path, generator: torch.Generator
    ) -> Float[Tensor, "words width"] | None:
        if self.vectors == "random":
            return None
        if self.vectors == "encoder":
            return _of_encoder(tokenizer, folder)
        return _of_file(_regular(Path(self.vectors).expanduser()), tokenizer, generator)


def _of_encoder(tokenizer: Any, folder: Path) -> Float[Tensor, "words width"]:
    if NetworkConfig.read(folder) is not None:
        raise ConfigError(
            f"{folder} is no transformer, so student.architecture.vectors = encoder finds no word table; take random."
        )
    table = load_transformer(folder, labels=("0", "1"), seed=0, head="any").get_input_embeddings().weight.detach()
    return table[: max(tokenizer.get_vocab().values()) + 1].float()


def _regular(file: Path) -> Path:
    """Before a device or a pipe is read, which may never end."""
    if not file.is_file():
        what = "is no regular file" if file.exists() else "does not exist"
        raise ConfigError(f"student.architecture.vectors: {file} {what}; give a text file of word vectors.")
    return file


def _of_file(file: Path, tokenizer: Any, generator: torch.Generator) -> Float[Tensor, "words width"]:
    """
    Raises:
        ConfigError: It cannot be read, or holds lines of different widths, values that are not finite, a word twice, or
            none of the tokenizer's words.
    """
    places: dict[str, list[int]] = {}
    for token, place in tokenizer.get_vocab().items():
        places.setdefault(token.lstrip("Ġ▁").lower(), []).append(place)  # how tokenizers mark the beginning of a word
    found, lines_of = dict[int, list[float]](), dict[str, int]()
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                word, *values = line.rstrip("\n").split(" ")
                if word not in places:
                    continue
                if (before := lines_of.setdefault(word, number)) != number:
                    raise ValueError(f"line {number} has the word {word!r} of line {before} again")
                vector = _values(values, number)
                found |= dict.fromkeys(places[word], vector)
                if len(vector) != len(next(iter(found.values()))):
                    raise ValueError(f"line {number} has {len(vector)} values, lines before it another number")
    except (OSError, ValueError) as error:
        raise ConfigError(f"student.architecture.vectors: {file} cannot be read as word vectors ({error}).") from None
    if not found:
        raise ConfigError(f"student.architecture.vectors: {file} has no word of the tokenizer's vocabulary.")
    known = torch.tensor(list(found.values()))
    table = torch.randn(max(tokenizer.get_vocab().values()) + 1, known.shape[1], generator=generator) * known.std()
    table[list(found)] = known
    return table


def _values(values: list[str], line: int) -> list[float]:
    try:
        found = [float(value) for value in values]
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from None
    if not found or not all(map(math.isfinite, found)):
        raise ValueError(f"line {line} has values that are not finite numbers, or none")
    return found
