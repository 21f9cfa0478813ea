"""Settings of one teacher."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from kdray.corpora import CorpusSettings
from kdray.models import encoder_layers
from kdray.records import Name, Settings
from kdray.train import TrainSettings

FINE_TUNING = TrainSettings(epochs=4, learning_rate=5e-5)
NLI_TO_RTE = {"neutral": "not_entailment", "contradiction": "not_entailment"}


class Intermediate(Settings):
    """A task to train on first (`init_from: mnli` is short for that corpus with its classes merged as RTE's).

    Attributes:
        corpus: The corpus of the intermediate task.
        label_map: Class of the intermediate task to class of this task, for classes whose names differ.
    """

    corpus: CorpusSettings
    label_map: dict[str, str] = Field(default_factory=dict[str, str])
    train: TrainSettings = TrainSettings(epochs=2, learning_rate=1e-4)


class TeacherSettings(Settings):
    """One teacher: an encoder, fine-tuned on the corpus, perhaps after an intermediate task; or a file of predictions.

    Attributes:
        name: Names it in logs, tables and the store.
        predictions: A file with the predictions of a model (or people) elsewhere, as `kdray.teachers.predictions` reads
            it; such a teacher has no other settings. Its bytes are in the digest.
        encoder: Hugging Face id, local folder, or `minilm`.
        fine_tuned: True: `encoder` is a classifier for this task already and is used as it is.
        layers: Keep only the bottom layers; None keeps all.
        classes: The teacher learns only the rows of these classes and scores only them, in this order; empty is all of
            them. Methods that merge such teachers (`uhc`, `muki`, `dfa`, `cfl`) need every class in one of them.
        init_from: The intermediate task; `mnli` alone is short for that corpus with its classes merged as RTE's.
        train: Of the fine-tuning.
    """

    name: str = Field(default="teacher", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    predictions: Name | None = None
    encoder: Name = "minilm"
    fine_tuned: bool = False
    layers: int | None = Field(default=None, ge=1, le=1000)
    classes: tuple[str, ...] = ()
    init_from: Intermediate | None = None
    train: TrainSettings = FINE_TUNING

    @property
    def depth(self) -> int:
        """How many layers it has: those that are kept, or all of its encoder's."""
        return self.layers or encoder_layers(self.encoder)

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) == 1 or len(set(value)) < len(value):
            raise ValueError(f"classes = {list(value)}: give two or more different classes, or none for all of them")
        return value

    @model_validator(mode="after")
    def _classes_are_learned_here(self) -> "TeacherSettings":
        if self.classes and (self.fine_tuned or self.init_from):
            other = "fine_tuned" if self.fine_tuned else "init_from"
            raise ValueError(f"classes cannot be combined with {other}: that model's classes are given")
        return self

    @model_validator(mode="after")
    def _predictions_stand_alone(self) -> "TeacherSettings":
        fields = type(self).model_fields
        if self.predictions is not None:
            for name in ("encoder", "fine_tuned", "layers", "classes", "init_from", "train"):
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"predictions cannot be combined with {name}: kdray runs no model here")
        return self

    @field_validator("init_from", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"corpus": {"name": value}, "label_map": NLI_TO_RTE if value == "mnli" else {}}
        return value
