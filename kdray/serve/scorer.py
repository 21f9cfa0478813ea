"""A classifier that scores rows: an ONNX bundle, a saved student, or a folder of transformers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from kdray.errors import ConfigError
from kdray.tasks import Target, get_task
from kdray.utf8 import is_text

Row = tuple[Any, ...]  # texts, or one list of tokens
THRESHOLD = 0.5  # of a label, where a row may have several


@dataclass(frozen=True)
class Scores:
    """
    Attributes:
        values: Probabilities, float32 [rows, labels]; of regression the value, float32 [rows, 1]; of tags
            [rows, tokens, labels], NaN where a row has no token, or the model does not read it.
        truncated: Whether the model reads only the beginning of a row, bool [rows].
    """

    values: np.ndarray
    truncated: np.ndarray


@dataclass(frozen=True)
class Scorer:
    """A loaded classifier; the fields say what its rows and outputs are.

    Attributes:
        source: Its folder.
        model: A `Bundle` of an ONNX graph, or a `Classifier` of torch.
        labels: Of its outputs, in their order; empty for regression.
        fields: The texts of a row, one or two, by name.
        temperature: Of the probabilities.
        abstain_below: A prediction of lower confidence has no label, unless a caller sets another threshold.
    """

    source: Path
    model: Any
    task: str
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    max_length: int
    tokenizer: Any
    temperature: float = 1.0
    abstain_below: float | None = None

    @property
    def target(self) -> Target:
        """What its task predicts of a row."""
        return get_task(self.task).target

    @property
    def has_tags(self) -> bool:
        """Whether a row is a list of tokens, each of which gets a tag."""
        return self.target == "tags"

    def check(self, row: Any) -> Row:
        """The texts of one row.

        Args:
            row: A text, or a list of texts, one for each field; of a model with tags a list with one list of tokens.

        Raises:
            ConfigError: It is something else.
        """
        if self.has_tags:
            return (_tokens(row[0], self.fields[0]),)
        texts: Any = (row,) if isinstance(row, str) else row
        if not isinstance(texts, list | tuple) or len(texts) != len(self.fields):
            kind = "a text" if len(self.fields) == 1 else f"a list of {len(self.fields)} texts"
            raise ConfigError(f"expected {kind} ({', '.join(self.fields)}), found {_shown(row)}")
        for name, text in zip(self.fields, texts, strict=True):
            if text is None:
                raise ConfigError(f"the text {name!r} is missing")
            if not isinstance(text, str):
                raise ConfigError(f"the text {name!r} is {_shown(text)}, not a text")
            if not is_text(text):
                raise ConfigError(f"the text {name!r} is not valid Unicode (half of a surrogate pair)")
        return tuple(texts)

    def score(self, rows: Sequence[Row]) -> Scores:
        """Score rows that `check` accepted."""
        logits = self.model.logits_of(rows)
        scaled = logits if self.target == "value" else logits / np.float32(self.temperature)
        found = get_task(self.task).predictions(scaled)
        values = found.values[:, None] if self.target == "value" and found.values is not None else found.probabilities
        return Scores(np.asarray(values, np.float32), self._truncated(rows))

    def predictions(self, values: np.ndarray) -> list[Any]:
        """The label of each row; a list of labels where a row may have several; a number for regression.

        Not for tags, which need the tokens of a row.
        """
        if self.target == "value":
            return [float(value) for value in values[:, 0]]
        if self.target == "labels":
            return [[self.labels[column] for column in np.flatnonzero(row >= THRESHOLD)] for row in values]
        return [self.labels[column] for column in values.argmax(1)]

    def _truncated(self, rows: Sequence[Row]) -> np.ndarray:
        found = np.zeros(len(rows), bool)
        # a token has one character at least, so shorter rows cannot be too long
        characters = [sum(map(len, row[0] if self.has_tags else row)) for row in rows]
        long = [number for number, each in enumerate(characters) if each >= self.max_length - self._specials]
        if long:
            texts = self.model.shortened([rows[number] for number in long])
            given = [each[0] if len(each) == 1 else each for each in texts]
            encoded = self._whole.encode_batch(given, is_pretokenized=self.has_tags)
            found[long] = [len(each.ids) > self.max_length for each in encoded]
        return found

    @cached_property
    def _whole(self) -> Any:
        """The tokenizer without truncation."""
        tokenizer: Any = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _specials(self) -> int:
        return self.tokenizer.num_special_tokens_to_add(len(self.fields) == 2)


def _tokens(given: Any, name: str) -> list[str]:
    if given is None:
        raise ConfigError(f"the list {name!r} is missing")
    if not isinstance(given, list | tuple):
        raise ConfigError(f"{name!r} is {_shown(given)}, not a list of tokens")
    tokens: list[Any] = list(given)
    for number, token in enumerate(tokens):
        if not isinstance(token, str) or not token:
            raise ConfigError(f"{name!r} has {_shown(token)} at position {number} (the first is 0), not a token")
        if not is_text(token):
            raise ConfigError(f"{name!r} has a token that is not valid Unicode (half of a surrogate pair)")
    return tokens


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
