"""Every architecture that can be named, and that of a model or a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from torch import Tensor

from kdray.errors import ConfigError
from kdray.models.architecture import Architecture, Head
from kdray.models.bilstm import BiLSTM
from kdray.models.encoders import load_config, save_tokenizer
from kdray.models.folders import read_json
from kdray.models.info import ModelInfo
from kdray.models.linear_svm import LinearSVM
from kdray.models.logistic import Logistic
from kdray.models.naive_bayes import NaiveBayes
from kdray.models.network import Network, NetworkModel
from kdray.models.network_config import NetworkConfig
from kdray.models.static import Static
from kdray.models.textcnn import TextCNN
from kdray.models.tokens import SUFFIX, TokenTransformer
from kdray.models.transformer import Transformer
from kdray.origin import defined, opened
from kdray.records import plain_message
from kdray.signals import Signals
from kdray.tasks import Task


def _named(given: Any) -> Any:
    return {"name": given} if isinstance(given, str) else given


AnyArchitecture = Annotated[
    Transformer | TokenTransformer | BiLSTM | TextCNN | Static | NaiveBayes | Logistic | LinearSVM,
    Field(discriminator="name"),
    *opened(Architecture, "student.architecture.name"),
    BeforeValidator(_named),
]
"""An architecture of a run: a record, plain settings, or its name."""

TRANSFORMER, TOKEN_TRANSFORMER = Transformer(), TokenTransformer()
_parser: TypeAdapter[Architecture] = TypeAdapter(AnyArchitecture)


def transformer_for(task: Task) -> Transformer:
    """The one whose head fits the task."""
    return TOKEN_TRANSFORMER if task.target == "tags" else TRANSFORMER


def architecture_of(model: Any) -> Architecture:
    """That of a loaded model."""
    if isinstance(model, NetworkModel):
        return model.architecture
    return TOKEN_TRANSFORMER if type(model).__name__.endswith(SUFFIX) else TRANSFORMER


def architecture_at(folder: Path) -> Architecture:
    """That of a saved model. No code of the folder is run: a class from outside must be defined in this process.

    Raises:
        ConfigError: It is unknown here, or its settings are not its own.
    """
    config = NetworkConfig.read(folder)
    if config is None:
        named: list[str] = read_json(folder / "config.json").get("architectures") or []
        return TOKEN_TRANSFORMER if any(each.endswith(SUFFIX) for each in named) else TRANSFORMER
    settings = config.kdray_architecture
    name = str(settings.get("name"))
    kind = defined(Network, name) if ":" in name else None
    if ":" in name and kind is None:
        place = name.partition("@")[0]
        raise ConfigError(
            f"{folder} holds a model of the architecture {place}, whose class is not defined in this process, or whose "
            f"source has changed since; import {place.rpartition(':')[2]} from its file first."
        )
    try:
        if kind is not None:
            return kind.model_validate({key: value for key, value in settings.items() if key != "name"})
        return _parser.validate_python(settings)
    except ValidationError as error:
        reason = plain_message(error.errors()[0])
        raise ConfigError(
            f"{folder / 'config.json'}: {name} is no architecture of kdray with these settings ({reason})."
        ) from None


def load_classifier(
    folder: str | Path, *, labels: Sequence[str] | None = None, seed: int = 0, head: Head = "own"
) -> Any:
    """The classifier in `folder`, of whatever architecture (see `Architecture.load`).

    Args:
        labels: The classes, in the order of its outputs; None takes the names that the folder has.
    """
    folder = Path(folder)
    if labels is None:
        labels = list(load_config(folder).id2label.values())
    return architecture_at(folder).load(folder, labels=labels, seed=seed, head=head)


def save_classifier(model: Any, tokenizer: Any, folder: Path, *, max_length: int | None = None) -> None:
    """Write a folder: config.json, safetensors, tokenizer, label names; of a transformer a Hugging Face folder.

    Args:
        max_length: See `save_tokenizer`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    architecture_of(model).save(model, folder)
    save_tokenizer(tokenizer, folder, max_length=max_length)


def forward(model: Any, batch: Mapping[str, Tensor], needs: frozenset[str]) -> Signals:
    """Run a classifier on a padded batch; logits always, in float32, the rest if in `needs`."""
    return architecture_of(model).forward(model, batch, needs)


def model_info(model: Any, name: str, tokenizer: Any = None) -> ModelInfo:
    """Read from a loaded model; without a tokenizer, `ModelInfo.tokenizer` stays empty."""
    return architecture_of(model).info(model, name, tokenizer)


def folder_info(folder: Path, name: str = "") -> ModelInfo:
    """Read from a folder; a transformer is not loaded."""
    return architecture_at(folder).expected(folder, name)


def keep_layers(model: Any, layers: Sequence[int]) -> None:
    """Cut `model` down, in place, to the given 0-based layers in the given order."""
    architecture_of(model).shrink(model, layers)
