"""Settings of students and assistants."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticKnownError

from kdray.methods import KD, AnyMethod
from kdray.models import (
    TOKEN_TRANSFORMER,
    TRANSFORMER,
    AnyArchitecture,
    Architecture,
    Fitted,
    Narrow,
    Weights,
    WordNetwork,
)
from kdray.records import Name, Settings
from kdray.train import TrainSettings

MOST_LAYERS = 1000
Layers = Annotated[int, Field(ge=1, le=MOST_LAYERS)] | tuple[int, ...]


def _not_by_name(given: Architecture) -> Architecture:
    if given == TOKEN_TRANSFORMER:
        raise ValueError(f"{given.name} is what a transformer is for tags of words; the task chooses it, leave it out")
    return given


class StudentSettings(Settings):
    """The student: layers of an encoder, of the first teacher, or of the method's assistant; or another architecture.

    Attributes:
        architecture: `transformer`; `bilstm`, `textcnn` or a class of your own (`my_architecture.py:Mine`), whose
            tokenizer, and word vectors where it uses these, are those of the encoder, teacher or assistant, unless its
            `units` are words.
        encoder: Where the layers come from with `init_from: encoder`; else left out, or the first teacher's. Left out,
            it is `minilm`, or, for another architecture, the first teacher's.
        layers: How many layers it has, or which: 0-based, from the bottom to the top.
        init: Take the `bottom` layers, or `skip` evenly up to the last.
        init_from: `encoder` (fresh classifier) or `teacher`, `assistant` (their fine-tuned layers and classifier).
        vocabulary: `trim` keeps the tokens that the training rows use, and single characters, so that every text can
            still be tokenized; `full` keeps all.
        width: Hidden units; fewer than those of the model that the layers come from. None keeps all, as below.
        heads: Attention heads of a layer; None keeps their size.
        intermediate: Units of a layer's feed-forward part.
        embedding_rank: Columns of the word table, which a projection maps to the width, so that the student is an
            ELECTRA model. None keeps the table as wide as the model.
        weights: A narrower student keeps the units of most `importance`, or gets `fresh` weights.
    """

    architecture: AnyArchitecture = TRANSFORMER
    encoder: Name | None = None
    layers: Layers = 3
    init: Literal["bottom", "skip"] = "bottom"
    init_from: Literal["encoder", "teacher", "assistant"] = "encoder"
    vocabulary: Literal["full", "trim"] = "full"
    width: int | None = Field(default=None, ge=1, le=100_000)
    heads: int | None = Field(default=None, ge=1, le=1_000)
    intermediate: int | None = Field(default=None, ge=1, le=1_000_000)
    embedding_rank: int | None = Field(default=None, ge=2, le=100_000)
    weights: Weights = "importance"

    @property
    def narrow(self) -> Narrow:
        return Narrow(self.width, self.heads, self.intermediate, self.weights, self.embedding_rank)

    @property
    def is_transformer(self) -> bool:
        return self.architecture == TRANSFORMER

    @property
    def depth(self) -> int:
        """How many layers it has; 1 for another architecture."""
        if not self.is_transformer:
            return 1
        return self.layers if isinstance(self.layers, int) else len(self.layers)

    _architecture = field_validator("architecture")(_not_by_name)

    @field_validator("layers", mode="before")
    @classmethod
    def _layers_are_there(cls, given: Any) -> Any:
        """With the errors of one field instead of those of a union."""
        if isinstance(given, int):
            if given < 1:
                raise PydanticKnownError("greater_than_equal", {"ge": 1})
            if given > MOST_LAYERS:
                raise PydanticKnownError("less_than_equal", {"le": MOST_LAYERS})
            return given
        every: list[Any] = list(given) if isinstance(given, list | tuple) else []
        numbers = all(isinstance(each, int) and 0 <= each < MOST_LAYERS for each in every)
        if not (every and numbers and every == sorted(set(every))):
            raise ValueError(
                "expected a number of layers, or different layers from the bottom to the top, counted from 0, such as "
                "[0, 2, 4]"
            )
        return given

    @model_validator(mode="after")
    def _cuts_have_an_effect(self) -> "StudentSettings":
        fields = type(self).model_fields
        if not self.is_transformer:
            cuts = ("layers", "init", "vocabulary", "width", "heads", "intermediate", "embedding_rank", "weights")
            idle = [name for name in cuts if getattr(self, name) != fields[name].default]
            if idle:
                raise ValueError(f"{idle[0]} has no effect on a {self.architecture.label}; leave it out")
        units = self.architecture.units if isinstance(self.architecture, Fitted | WordNetwork) else "tokens"
        if units != "tokens":
            idle = [name for name in ("encoder", "init_from") if getattr(self, name) != fields[name].default]
            if idle:
                label = self.architecture.label
                raise ValueError(f"{idle[0]} has no effect on a {label} of {units}; leave it out, or set units: tokens")
        if not isinstance(self.layers, int) and self.init != fields["init"].default:
            raise ValueError("init has no effect where layers lists the layers; leave it out")
        if self.weights == "fresh" and self.narrow.is_idle:
            needed = "a width, heads, intermediate or embedding_rank"
            raise ValueError(f"weights = fresh needs {needed} to be set; set one, or leave it out")
        return self


class AssistantSettings(Settings):
    """How assistants are distilled from the first teacher. Not part of a trial: trials of one depth share one.

    Attributes:
        architecture: As a student's. Of another one than `transformer` there is one assistant, whatever depths the
            method has.
        init: Which of the teacher's layers it starts from.
        method: It learns from one model, without an assistant of its own; without a name it is `kd`.
    """

    architecture: AnyArchitecture = TRANSFORMER
    init: Literal["bottom", "skip"] = "skip"
    method: AnyMethod = KD()
    train: TrainSettings = TrainSettings(epochs=3, learning_rate=1e-4)

    @property
    def is_transformer(self) -> bool:
        return self.architecture == TRANSFORMER

    _architecture = field_validator("architecture")(_not_by_name)

    @field_validator("method", mode="before")
    @classmethod
    def _is_kd_without_a_name(cls, given: Any) -> Any:
        return {"name": "kd", **given} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _learns_from_one_model(self) -> "AssistantSettings":
        method = self.method
        if method.uses_assistant or method.max_teachers != 1 or method.dropout_passes:
            raise ValueError(
                f"method {method.label} does not distill an assistant: an assistant learns from one model by a method "
                "such as kd or pkd"
            )
        if not self.is_transformer and self.init != type(self).model_fields["init"].default:
            raise ValueError(f"init has no effect on a {self.architecture.label}; leave it out")
        return self
