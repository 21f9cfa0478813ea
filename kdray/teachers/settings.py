"""Settings of one teacher."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kdray.corpora import CorpusSettings
from kdray.train import TrainSettings

FINE_TUNING = TrainSettings(epochs=4, learning_rate=5e-5)
NLI_TO_RTE = {"neutral": "not_entailment", "contradiction": "not_entailment"}


class Intermediate(BaseModel):
    """A task to train on first (`init_from: mnli` is short for that corpus with its classes merged as RTE's).

    Attributes:
        merge: Class of the intermediate task to class of this task, for classes whose names differ.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: CorpusSettings
    merge: dict[str, str] = Field(default_factory=dict[str, str])
    train: TrainSettings = TrainSettings(epochs=2, learning_rate=1e-4)


class TeacherSettings(BaseModel):
    """One teacher: an encoder, fine-tuned on the corpus, perhaps after an intermediate task.

    Attributes:
        name: Names it in logs, tables and the store.
        encoder: Hugging Face id, local folder, or `minilm`.
        fine_tuned: True: `encoder` is a classifier for this task already and is used as it is.
        layers: Keep only the bottom layers; None keeps all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="teacher", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    encoder: str = "minilm"
    fine_tuned: bool = False
    layers: int | None = Field(default=None, ge=1)
    init_from: Intermediate | None = None
    train: TrainSettings = FINE_TUNING

    @field_validator("init_from", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"corpus": {"name": value}, "merge": NLI_TO_RTE if value == "mnli" else {}}
        return value
