"""Models that are no transformers: an `nn.Module` that gives logits, over the tokens of any fast tokenizer."""

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, ClassVar

import torch
import transformers
from jaxtyping import Float, Int
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from kdray.errors import ConfigError
from kdray.models.architecture import Architecture, Head, probabilities
from kdray.models.encoders import drawn_from, load_tokenizer, tokenizer_digest
from kdray.models.info import ModelInfo
from kdray.models.network_config import NetworkConfig
from kdray.origin import outside_class
from kdray.signals import Need, Signals

WEIGHTS = "model.safetensors"
USAGE = """```python
from kdray.models import load_classifier
from transformers import AutoTokenizer
folder = "PATH/TO/THIS/FOLDER"
model, tokenizer = load_classifier(folder), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
read = tokenizer("a text", truncation=True, return_tensors="pt")
logits = model(read["input_ids"], read["attention_mask"]).logits
```"""


@dataclass(frozen=True)
class Words:
    """What a network reads.

    Attributes:
        count: Different tokens; `input_ids` are 0 to count − 1.
        padding: The id of the padding token.
        vectors: Values that the word table begins with, [count, width]; None where it begins at random.
    """

    count: int
    padding: int
    vectors: Float[Tensor, "count width"] | None = None


class NetworkModel(nn.Module):
    """A network with the architecture that built it and its config.json; it is called as models of transformers are."""

    def __init__(self, architecture: "Network", network: nn.Module, config: NetworkConfig) -> None:
        super().__init__()
        self.architecture, self.network, self.config = architecture, network, config

    def forward(
        self,
        input_ids: Int[Tensor, "rows tokens"],
        attention_mask: Int[Tensor, "rows tokens"],
        token_type_ids: Int[Tensor, "rows tokens"] | None = None,
    ) -> SequenceClassifierOutput:
        types = () if self.config.type_vocab_size == 1 or token_type_ids is None else (token_type_ids,)
        return SequenceClassifierOutput(logits=self.network(input_ids, attention_mask, *types))


class Network(Architecture):
    """An architecture of your own: fields are its settings, `network` builds the module.

    It gives logits only, so it learns by every method that needs no more; override `gives` and `forward` otherwise.

    >>> from kdray.models import BiLSTM, Words
    >>> BiLSTM(hidden=8, embedding=4).network(Words(count=10, padding=0), outputs=2).training
    True
    """

    gives: ClassVar[frozenset[Need]] = frozenset({"logits"})
    library: ClassVar[str] = "kdray"
    usage: ClassVar[str] = USAGE

    @property
    def written(self) -> dict[str, Any]:
        """Its name, without the folder of its file, and its settings, as config.json holds them."""
        reference, colon, rest = self.name.rpartition(":")
        return self.model_dump(mode="json") | {"name": f"{PurePath(reference).name}{colon}{rest}"}

    @abstractmethod
    def network(self, words: Words, outputs: int) -> nn.Module:
        """A module whose forward takes `input_ids` and `attention_mask` (1 for a token, 0 for padding), int64
        [rows, tokens], and gives logits, float [rows, outputs].

        A row's logits must not depend on how far it is padded. Token types come third, for a forward that has a
        parameter `token_type_ids`.
        """

    def word_vectors(
        self, tokenizer: Any, folder: Path, generator: torch.Generator
    ) -> Float[Tensor, "words width"] | None:
        """What the word table begins with, by the encoder or teacher in `folder`; None is at random."""
        del tokenizer, folder, generator
        return None

    def tokenizer(self, folder: Path, model: Any = None) -> Any:
        """What a model that was built from `folder` reads with until `begin`."""
        return load_tokenizer(folder, model)

    def begin(self, model: NetworkModel, tokenizer: Any, columns: Sequence[Sequence[str]], *, seed: int = 0) -> Any:
        """Let a model that was built see its training rows before it is trained, in place.

        Args:
            columns: Their texts by field.
            seed: Fresh weights are drawn from it.

        Returns:
            The tokenizer that it reads with from now on.
        """
        del model, columns, seed
        return tokenizer

    def build(self, folder: Path, *, labels: Sequence[str], seed: int, head: Head = "fresh") -> NetworkModel:
        del head  # every network is fresh
        return self._built(self.tokenizer(folder), folder, labels, seed)

    def _built(self, tokenizer: Any, folder: Path, labels: Sequence[str], seed: int) -> NetworkModel:
        count = max(tokenizer.get_vocab().values()) + 1
        vectors = self.word_vectors(tokenizer, folder, torch.Generator().manual_seed(seed))
        config = NetworkConfig(
            kdray_architecture=self.written,
            id2label=dict(enumerate(labels)),
            vocab_size=count,
            pad_token_id=int(tokenizer.pad_token_id),
            type_vocab_size=1,
            vector_width=0 if vectors is None else vectors.shape[1],
        )
        return self._made(config, vectors, seed)

    def load(self, folder: Path, *, labels: Sequence[str] = (), seed: int = 0, head: Head = "own") -> NetworkModel:
        config = self._config_of(folder, labels, head)
        width = config.vector_width
        model = self._made(config, torch.zeros(config.vocab_size, width) if width else None, seed)
        try:
            load_model(model.network, folder / WEIGHTS)
        except Exception as error:  # safetensors and torch raise many kinds
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the weights in {folder} do not fit its config.json ({reason}).") from error
        return model

    def _config_of(self, folder: Path, labels: Sequence[str], head: Head) -> NetworkConfig:
        """That of a saved model, for a task with these labels."""
        config = NetworkConfig.read(folder)
        assert config is not None
        if head != "own" or (labels and len(labels) != config.num_labels):
            raise ConfigError(
                f"{folder} is a {self.label} of {config.num_labels} classes, which is used as it is, but the task has "
                f"{len(labels)} ({', '.join(labels)}); train it again."
            )
        if labels:
            config.id2label = dict(enumerate(labels))
        return config

    def save(self, model: NetworkModel, folder: Path) -> None:
        model.config.write(folder)
        save_model(model.network, str(folder / WEIGHTS))

    def forward(self, model: NetworkModel, batch: Mapping[str, Tensor], needs: frozenset[str]) -> Signals:
        if missing := sorted(needs - self.gives):
            raise ConfigError(f"architecture {self.label} gives no {missing[0]}, only {', '.join(sorted(self.gives))}.")
        return Signals(logits=model(**batch).logits.float())

    def info(self, model: NetworkModel, name: str, tokenizer: Any = None) -> ModelInfo:
        return ModelInfo(
            name=name,
            layers=1,
            width=max((table.embedding_dim for table in _tables(model)), default=0),
            classes=model.config.num_labels,
            tokenizer=tokenizer_digest(tokenizer) if tokenizer else "",
            outside=sum(value.numel() for value in model.parameters()),
            gives=tuple(sorted(self.gives)),
        )

    def expected(self, folder: Path, name: str = "") -> ModelInfo:
        config = NetworkConfig.read(folder)
        if config is not None and config.kdray_architecture == self.written:
            return self.info(self.load(folder), name or folder.name, load_tokenizer(folder))
        model = self.build(folder, labels=("0", "1"), seed=0)
        return self.info(model, name or folder.name, self.tokenizer(folder))

    def shrink(self, model: Any, layers: Sequence[int]) -> None:
        raise ConfigError(f"architecture {self.label} has no layers that can be cut; leave out student.layers.")

    def flops(self, model: NetworkModel, *, tokens: int) -> int:
        """2n·parameters without word tables: every weight works once on each of n tokens, as in an LSTM or a
        convolution."""
        tables = sum(table.weight.numel() for table in _tables(model))
        return 2 * tokens * (sum(p.numel() for p in model.parameters()) - tables)

    def scores(self, folder: Path, rows: Sequence[Sequence[str]]) -> Float[Tensor, "rows classes"]:
        model = self.load(folder)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        found = torch.zeros(len(rows), model.config.num_labels)
        with torch.inference_mode():
            for place, row in enumerate(rows):
                read = tokenizer(*row, truncation=True, return_tensors="pt")
                found[place] = model(read["input_ids"], read["attention_mask"], read.get("token_type_ids")).logits
        return probabilities(found, model.config.problem_type)

    def _made(self, config: NetworkConfig, vectors: Tensor | None, seed: int) -> NetworkModel:
        with drawn_from(seed), outside_class("architecture", self):
            network = self.network(Words(config.vocab_size, config.pad_token_id, vectors), config.num_labels)
        config.type_vocab_size = 2 if "token_type_ids" in inspect.signature(network.forward).parameters else 1
        return NetworkModel(self, network, config).eval()


def tokenizer_of(architecture: Architecture, folder: Path, model: Any) -> Any:
    """What a model that `architecture` has built from `folder` reads with."""
    is_network = isinstance(architecture, Network)
    return architecture.tokenizer(folder, model) if is_network else load_tokenizer(folder, model)


def _tables(network: nn.Module) -> list[nn.Embedding]:
    return [module for module in network.modules() if isinstance(module, nn.Embedding)]
