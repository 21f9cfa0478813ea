"""Students that are fitted at once instead of trained by steps: linear classifiers over the n-grams of a row."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, model_validator
from safetensors.torch import load_file
from torch import Tensor, nn

from kdray.corpora import Encoded
from kdray.errors import ConfigError
from kdray.models.architecture import Head
from kdray.models.bag import BagOfGrams, Grams, codes_of, count_grams, empty_bag, idf_of, unit_rows
from kdray.models.encoders import load_tokenizer
from kdray.models.info import ModelInfo
from kdray.models.network import WEIGHTS, Network, NetworkModel, Words
from kdray.models.network_config import NetworkConfig
from kdray.models.unit_tokenizers import unit_tokenizer

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BEFORE = ["what a student of words or characters reads before it is fitted"]
Weights = tuple[NDArray[np.float64], NDArray[np.float64]]  # [classes, features] and [classes]

Length = Annotated[int, Field(ge=1, le=10)]  # of an n-gram


class Fitted(Network):
    """A linear classifier over counts or TF-IDF of n-grams. `fit` finds its weights by scikit-learn, from soft labels.

    Attributes:
        units: `words` (two letters or more, lower case) or `characters` (lower case) of the training rows, or the
            `tokens` of the encoder's tokenizer.
        ngrams: Units of the shortest and of the longest n-gram.
        features: At most so many n-grams are kept, the most frequent ones of the training rows.
        min_rows: N-grams in fewer training rows are left out.
        weighting: `counts`, or `tfidf` (rows of length 1).
    """

    units: Literal["words", "characters", "tokens"] = "words"
    ngrams: tuple[Length, Length] = (1, 1)
    features: int = Field(default=50_000, ge=1, le=5_000_000)
    min_rows: int = Field(default=2, ge=1, le=1_000_000)
    weighting: Literal["counts", "tfidf"] = "tfidf"

    @model_validator(mode="after")
    def _lengths_ascend(self) -> "Fitted":
        shortest, longest = self.ngrams
        if shortest > longest:
            raise ValueError(f"ngrams = {list(self.ngrams)}: give the length of the shortest n-gram first")
        return self

    @abstractmethod
    def solve(self, features: "csr_matrix", targets: Float[NDArray[np.float64], "rows classes"], seed: int) -> Weights:
        """Weights and biases whose scores, after a softmax, are probabilities of the classes.

        Args:
            targets: The weight of each class in each row; 0 in all of a row that has neither label nor prediction.
        """

    def tokenizer(self, folder: Path, model: Any = None) -> Any:
        return load_tokenizer(folder, model) if self.units == "tokens" else unit_tokenizer(self.units, BEFORE)

    def network(self, words: Words, outputs: int) -> nn.Module:
        raise NotImplementedError("a bag is built from a tokenizer")

    def build(self, folder: Path, *, labels: Sequence[str], seed: int, head: Head = "fresh") -> NetworkModel:
        del seed, head  # nothing is drawn
        return self._empty(self.tokenizer(folder), labels)

    def load(self, folder: Path, *, labels: Sequence[str] = (), seed: int = 0, head: Head = "own") -> NetworkModel:
        config = self._config_of(folder, labels, head)
        try:
            stored = load_file(folder / WEIGHTS)
            bag = BagOfGrams(self._grams, stored["codes"], stored["keys"], stored["scale"], config.num_labels)
            if len(stored["codes"]) != config.vocab_size:
                raise ValueError(f"{len(stored['codes'])} codes for {config.vocab_size} tokens")
            bag.load_state_dict(stored)
        except Exception as error:  # safetensors and torch raise many kinds
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the weights in {folder} do not fit its config.json ({reason}).") from error
        return NetworkModel(self, bag, config).eval()

    def info(self, model: NetworkModel, name: str, tokenizer: Any = None) -> ModelInfo:
        return replace(super().info(model, name, tokenizer), fitted=True)

    def flops(self, model: NetworkModel, *, tokens: int) -> int:
        """Of the n-grams of a row, each of which is one feature at most."""
        most = min(tokens * (1 + self.ngrams[1] - self.ngrams[0]), bag_of(model).known)
        return 2 * most * model.config.num_labels

    def begin(self, model: NetworkModel, tokenizer: Any, columns: Sequence[Sequence[str]], *, seed: int = 0) -> Any:
        """Let `model` read the units of the training rows."""
        del seed  # nothing is drawn
        if self.units != "tokens":
            texts = [text for column in columns for text in column]
            tokenizer = unit_tokenizer(self.units, texts, min_rows=self.min_rows)
        begun = self._empty(tokenizer, tuple(model.config.id2label.values()))
        model.network, model.config = begun.network, begun.config
        return tokenizer

    def fit(
        self,
        model: NetworkModel,
        encoded: Encoded,
        targets: Float[Tensor, "rows classes"],
        *,
        seed: int,
    ) -> Float[Tensor, "rows classes"]:
        """Fit `model` to the soft labels of its training rows, in place; returns its logits of them.

        Raises:
            ConfigError: No n-gram is in `min_rows` rows, or a class has no row.
        """
        wanted = targets.double().numpy()
        if len(without := np.flatnonzero(wanted.sum(axis=0) <= 0)):
            name = model.config.id2label[int(without[0])]
            raise ConfigError(f"{self.label}: no training row has the class {name!r}, so it cannot be fitted.")
        bag = bag_of(model)
        counted = count_grams(bag, encoded, pad_id=model.config.pad_token_id)
        keys = counted.choose(most=self.features, min_rows=self.min_rows)
        if not len(keys):
            raise ConfigError(
                f"{self.label}: no n-gram of {self.units} is in {self.min_rows} training rows; lower "
                "student.architecture.min_rows or the lengths of ngrams."
            )
        counts = counted.matrix(keys)
        scale = idf_of(counts) if self.weighting == "tfidf" else np.ones(len(keys))
        features = unit_rows(counts, scale) if self.weighting == "tfidf" else counts
        weight, bias = self.solve(features, wanted, seed)
        fitted = BagOfGrams(
            bag.grams, bag.codes, torch.from_numpy(keys), torch.from_numpy(scale).float(), len(bias)
        ).requires_grad_(requires_grad=False)
        fitted.linear.weight.copy_(torch.from_numpy(weight))
        fitted.linear.bias.copy_(torch.from_numpy(bias))
        model.network = fitted.requires_grad_().eval()
        return torch.from_numpy(features @ weight.T + bias)

    @property
    def _grams(self) -> Grams:
        return Grams(*self.ngrams, is_scaled=self.weighting == "tfidf")

    def _empty(self, tokenizer: Any, labels: Sequence[str]) -> NetworkModel:
        codes = codes_of(tokenizer, self._grams)
        config = NetworkConfig(
            kdray_architecture=self.written,
            id2label=dict(enumerate(labels)),
            vocab_size=len(codes),
            pad_token_id=int(tokenizer.pad_token_id),
            type_vocab_size=1,
            vector_width=0,
        )
        return NetworkModel(self, empty_bag(self._grams, codes, len(labels)), config).eval()


def bag_of(model: NetworkModel) -> BagOfGrams:
    assert isinstance(model.network, BagOfGrams)
    return model.network


def doubled(
    features: "csr_matrix", targets: Float[NDArray[np.float64], "rows classes"]
) -> tuple["csr_matrix", NDArray[np.int64], NDArray[np.float64]]:
    """Each row once for every class that it has a weight of, with the class and the weight."""
    rows, classes = np.nonzero(targets)
    return rows_of(features, rows), classes, targets[rows, classes]


def rows_of(features: "csr_matrix", rows: NDArray[np.int64]) -> "csr_matrix":
    """Those rows of a sparse matrix."""
    from scipy.sparse import csr_matrix

    return csr_matrix(features[rows])


def of_decision(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Weights:
    """One score a class: of a single one for the second of two classes, half of it for that and minus half for the
    other, so that the softmax is its logistic function."""
    if len(weight) > 1:
        return weight, bias
    return np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
