"""What a kind of model can do: it is built, run, described, shrunk, saved and loaded."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from kdray.models.info import ModelInfo
from kdray.origin import OpenSettings
from kdray.signals import Need, Signals

Head = Literal["own", "fresh", "any"]


class Architecture(OpenSettings, ABC):
    """A kind of model, with its settings.

    A model is an `nn.Module`. Its forward pass takes `input_ids` and `attention_mask`, int64 [rows, tokens], and
    `token_type_ids` where it uses these, and gives an object with `logits`. A folder has config.json,
    model.safetensors and a tokenizer.

    Attributes:
        gives: The signals of `forward`.
        usage: How the saved folder is used, as Markdown for its model card; `library` is what loads it, by `pipeline`.
    """

    gives: ClassVar[frozenset[Need]]
    library: ClassVar[str]
    usage: ClassVar[str]
    pipeline: ClassVar[str] = "text-classification"

    @property
    def files(self) -> dict[str, Path]:
        """Files that first weights come from, by the setting that names them; their content is in the digest."""
        return {}

    @abstractmethod
    def build(self, folder: Path, *, labels: Sequence[str], seed: int, head: Head = "fresh") -> Any:
        """A model with its first weights, on the CPU in float32, in eval mode.

        Args:
            folder: Of an encoder, a teacher or an assistant: its tokenizer, and what the architecture uses of its
                weights.
            seed: Fresh weights are drawn from it.

        Raises:
            ConfigError: It cannot be built from this folder.
        """

    @abstractmethod
    def load(self, folder: Path, *, labels: Sequence[str], seed: int, head: Head = "own") -> Any:
        """The model that `save` wrote, or a classifier made elsewhere; on the CPU in float32, in eval mode.

        Args:
            seed: A fresh head is drawn from it.
            head: The folder's `own`; a `fresh` one, whatever the folder has; or `any`, where its scores are not used.

        Raises:
            ConfigError: Its weights do not fit its configuration, or it has no `own` head of that many classes.
        """

    @abstractmethod
    def save(self, model: Any, folder: Path) -> None:
        """Write config.json and model.safetensors."""

    @abstractmethod
    def forward(self, model: Any, batch: Mapping[str, Tensor], needs: frozenset[str]) -> Signals:
        """Run `model` on a padded batch; logits always, in float32, the rest if in `needs`."""

    @abstractmethod
    def info(self, model: Any, name: str, tokenizer: Any = None) -> ModelInfo:
        """Read from a loaded model; without a tokenizer, `ModelInfo.tokenizer` stays empty."""

    @abstractmethod
    def expected(self, folder: Path, name: str = "") -> ModelInfo:
        """What `build` makes of a folder, or `load`, where `save` wrote it; with all layers and any classes."""

    @abstractmethod
    def shrink(self, model: Any, layers: Sequence[int]) -> None:
        """Cut `model` down, in place, to the given 0-based layers.

        Raises:
            ConfigError: It has no layers that can be cut.
        """

    @abstractmethod
    def flops(self, model: Any, *, tokens: int) -> int:
        """Of one row, one multiply-add counted as two."""

    @abstractmethod
    def scores(self, folder: Path, rows: Sequence[Sequence[str]]) -> Float[Tensor, "rows classes"]:
        """What the saved folder gives for rows of one or two texts, read as its users will read it.

        Values, probabilities of each label or a softmax, by the problem type in config.json.
        """


def probabilities(logits: Float[Tensor, "rows classes"], problem_type: str | None) -> Float[Tensor, "rows classes"]:
    """What users make of logits, by the problem type of the export: values, probabilities, or a softmax."""
    if problem_type == "regression":
        return logits
    return logits.sigmoid() if problem_type == "multi_label_classification" else logits.softmax(-1)
