"""A table of word vectors that is random, an encoder's, or read from a text file such as GloVe's."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.models.encoders import load_transformer
from kdray.models.info import ModelInfo
from kdray.models.network import Network, NetworkModel, Words
from kdray.models.network_config import NetworkConfig
from kdray.models.unit_tokenizers import rows_of_units, tokenizer_of_units
from kdray.records import Name

NOT_FILES = ("random", "encoder")
BEFORE = ("what", "a", "student", "of", "words", "reads", "before", "it", "is", "trained")


class WordNetwork(Network):
    """
    Attributes:
        units: `tokens` of the encoder's or teacher's tokenizer; or `words` (lower case) and punctuation marks of the
            training rows.
        vocabulary: At most so many words are known, the most frequent ones of the training rows.
        min_rows: Words in fewer training rows are unknown, unless the file of `vectors` has them.
        embedding: Width of random word vectors.
        vectors: `random`; `encoder`: the word table of the encoder or teacher whose tokenizer the student has; or a
            text file with a word and its values on each line (GloVe): tokens that are not in it begin at random.
        dropout: In the training.
    """

    units: Literal["tokens", "words"] = "tokens"
    vocabulary: int = Field(default=30_000, ge=1, le=5_000_000)
    min_rows: int = Field(default=2, ge=1, le=1_000_000)
    embedding: int = Field(default=300, ge=1, le=100_000)
    vectors: Name = "random"
    dropout: float = Field(default=0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _width_is_used(self) -> "WordNetwork":
        if self.vectors != "random" and self.embedding != type(self).model_fields["embedding"].default:
            raise ValueError("embedding has no effect, because vectors gives the width; leave it out")
        return self

    @model_validator(mode="after")
    def _units_fit(self) -> "WordNetwork":
        if self.units == "words" and self.vectors == "encoder":
            raise ValueError("vectors = encoder are of tokens, not of words; set vectors to random or a file")
        fields = type(self).model_fields
        for name in ("vocabulary", "min_rows") if self.units == "tokens" else ():
            if getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} has no effect, because units is tokens; leave it out, or set units: words")
        return self

    @property
    def files(self) -> dict[str, Path]:
        return {} if self.vectors in NOT_FILES else {"vectors": _regular(Path(self.vectors).expanduser())}

    def tokenizer(self, folder: Path, model: Any = None) -> Any:
        if self.units == "tokens":
            return super().tokenizer(folder, model)
        words = BEFORE
        for file in self.files.values():
            words = tuple(islice((word for word in _words_of(file) if word == word.lower()), len(BEFORE)))
        return tokenizer_of_units("words and marks", tuple(dict.fromkeys(words)) or BEFORE)

    def begin(self, model: NetworkModel, tokenizer: Any, columns: Sequence[Sequence[str]], *, seed: int = 0) -> Any:
        """Build `model` again for the words of the training rows.

        Raises:
            ConfigError: They have no word that is frequent enough, or the file of vectors has none of them.
        """
        if self.units == "tokens":
            return tokenizer
        rows = rows_of_units("words and marks", (text for column in columns for text in column))
        wanted = {word for word, number in rows.items() if number >= self.min_rows}
        for file in self.files.values():
            wanted |= rows.keys() & set(_words_of(file))
        known = sorted(wanted, key=lambda word: (-rows[word], word))[: self.vocabulary]
        if not known:
            raise ConfigError(
                f"{self.label}: no word is in {self.min_rows} training texts; lower student.architecture.min_rows."
            )
        tokenizer = tokenizer_of_units("words and marks", known)
        begun = self._built(tokenizer, Path(), tuple(model.config.id2label.values()), seed)
        model.network, model.config = begun.network, begun.config
        return tokenizer

    def expected(self, folder: Path, name: str = "") -> ModelInfo:
        """Of `words` that are not known yet, as many as `vocabulary` allows."""
        found, config = super().expected(folder, name), NetworkConfig.read(folder)
        if self.units == "tokens" or (config is not None and config.kdray_architecture == self.written):
            return found
        return replace(found, outside=found.outside + self.vocabulary * found.width)

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


def _words_of(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                yield line.partition(" ")[0].rstrip("\n")
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None


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
                word, _, values = line.rstrip("\n").partition(" ")
                if word not in places:
                    continue
                if (before := lines_of.setdefault(word, number)) != number:
                    raise ValueError(f"line {number} has the word {word!r} of line {before} again")
                vector = _values(values.split(" ") if values else [], number)
                found |= dict.fromkeys(places[word], vector)
                if len(vector) != len(next(iter(found.values()))):
                    raise ValueError(f"line {number} has {len(vector)} values, lines before it another number")
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None
    if not found:
        raise ConfigError(f"student.architecture.vectors: {file} has no word of the tokenizer's vocabulary.")
    known = torch.tensor(list(found.values()))
    table = torch.randn(max(tokenizer.get_vocab().values()) + 1, known.shape[1], generator=generator) * known.std()
    table[list(found)] = known
    return table


def _unreadable(file: Path, error: Exception) -> ConfigError:
    return ConfigError(f"student.architecture.vectors: {file} cannot be read as word vectors ({error}).")


def _values(values: list[str], line: int) -> list[float]:
    try:
        found = [float(value) for value in values]
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from None
    if not found or not all(map(math.isfinite, found)):
        raise ValueError(f"line {line} has values that are not finite numbers, or none")
    return found
