"""What a worker needs to train one model: plain values and places in the store, so that it can run anywhere."""

from typing import Any, Literal, Self

from kdray import origin
from kdray.errors import RunError
from kdray.methods import TrainedMethod, sources_of
from kdray.models import TRANSFORMER, AnyArchitecture, ModelInfo, Narrow, Weights, resolve_encoder
from kdray.origin import Source, define
from kdray.records import Settings
from kdray.store import Artifact, Store
from kdray.train import TrainSettings


class Ref(Settings):
    """An artifact by name; `open` finds it from any node that reaches the store."""

    stage: str
    name: str
    digest: str

    @staticmethod
    def to(artifact: Artifact) -> "Ref":
        return Ref(stage=artifact.stage, name=artifact.name, digest=artifact.digest)

    def open(self, store: Store) -> Artifact:
        found = store.find(self.stage, self.name, self.digest)
        if found is None:
            raise RunError(f"{store.uri} no longer holds {self.stage}/{self.name} (digest {self.digest[:12]}).")
        return found


class ModelSource(Settings):
    """Where a model's first weights come from: an encoder by name, or an artifact's model; and which layers of it.

    Attributes:
        architecture: What is built of it.
        layers: How many layers to keep, or which, 0-based; None keeps all.
        vocabulary: `trim` keeps the tokens that the training rows use.
        width, heads, intermediate, weights, embedding_rank: As `Narrow`.
        member_index: Which of the artifact's models, where it holds several that were trained together.
        pretrained_head: The model is a classifier made elsewhere, whose classes may be in another order.
    """

    architecture: AnyArchitecture = TRANSFORMER
    encoder: str | None = None
    artifact: Ref | None = None
    member_index: int | None = None
    layers: int | tuple[int, ...] | None = None
    init: Literal["bottom", "skip"] = "bottom"
    pretrained_head: bool = False
    vocabulary: Literal["full", "trim"] = "full"
    width: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    weights: Weights = "importance"
    embedding_rank: int | None = None

    @property
    def narrow(self) -> Narrow:
        return Narrow(self.width, self.heads, self.intermediate, self.weights, self.embedding_rank)

    def digest(self) -> str:
        if self.artifact is not None:
            return self.artifact.digest if self.member_index is None else f"{self.artifact.digest}/{self.member_index}"
        assert self.encoder is not None
        return resolve_encoder(self.encoder).digest


class TeacherRef(Settings):
    """A teacher: its model, its outputs, and its model info.

    Attributes:
        model: None for predictions from a file.
        dropout_outputs: Its outputs with dropout, where a method needs them.
    """

    info: ModelInfo
    model: Ref | None
    outputs: Ref
    dropout_outputs: Ref | None = None

    @property
    def trained(self) -> Ref:
        """Its model, where settings that need one were refused for predictions from a file."""
        assert self.model is not None, f"teacher {self.info.name} is a file of predictions"
        return self.model


class FitSpec(Settings):
    """One training.

    Attributes:
        digest: Of the artifact in the making; names its work folder.
        corpus: Full texts; scores are computed on its validation and test splits.
        pruned_corpus: The pruned texts to train on, or None for the full ones.
        label_map: For an intermediate task: its labels are counted as `labels` after these renamings.
        joint_with: Further models to train together with `model`, under its head.
        labels: The classes of the model; where they are some of the corpus's, only their rows are read.
        access: Outputs of teachers are read from the cache (and teachers run inside the step only for signals of
            tokens), or teachers run inside every step.
        teacher_view: Which texts teachers read: the `full` ones, or the `pruned` ones of `pruned_corpus`.
        evaluate_only: Nothing is trained: the model is scored and saved as it is.
        outside: The corpus's task and metrics from outside of kdray, by full name.
    """

    store: str
    digest: str
    title: str
    corpus: Ref
    pruned_corpus: Ref | None = None
    labels: tuple[str, ...]
    label_map: dict[str, str] | None = None
    model: ModelSource
    joint_with: tuple[ModelSource, ...] = ()
    method: TrainedMethod
    teachers: tuple[TeacherRef, ...] = ()
    assistant: TeacherRef | None = None
    access: Literal["cached", "online"] = "cached"
    teacher_view: Literal["full", "pruned"] = "full"
    train: TrainSettings
    evaluate_only: bool = False
    outside: tuple[str, ...] = ()

    def message(self) -> dict[str, Any]:
        """Plain values for a worker in another process, with the sources of what is from outside of kdray.

        Raises:
            ConfigError: Something has no source that a worker could import.
        """
        sources = [*sources_of(self.method), *origin.sources_of([self.model.architecture, *self.outside])]
        return {"spec": self.model_dump(mode="json"), "sources": [source.model_dump() for source in sources]}

    @classmethod
    def of_message(cls, message: dict[str, Any]) -> Self:
        """The spec that another process of this program sent by `message`."""
        define(Source.model_validate(source) for source in message["sources"])
        return cls.model_validate(message["spec"])
