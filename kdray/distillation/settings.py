"""Settings of students and assistants."""

from typing import Literal

from pydantic import Field

from kdray.methods import KD
from kdray.records import Name, Settings
from kdray.train import TrainSettings


class StudentSettings(Settings):
    """The student: layers of an encoder, of the first teacher, or of the method's assistant.

    Attributes:
        encoder: Where the layers come from with `init_from: encoder`; else left out, or the first teacher's.
        layers: How many layers it has.
        init: Take the `bottom` layers, or `skip` evenly up to the last.
        init_from: `encoder` (fresh classifier) or `teacher`, `assistant` (their fine-tuned layers and classifier).
    """

    encoder: Name = "minilm"
    layers: int = Field(default=3, ge=1, le=1000)
    init: Literal["bottom", "skip"] = "bottom"
    init_from: Literal["encoder", "teacher", "assistant"] = "encoder"


class AssistantSettings(Settings):
    """How assistants are distilled from the first teacher. Not part of a trial: trials of one depth share one.

    Attributes:
        init: Which of the teacher's layers it starts from.
    """

    init: Literal["bottom", "skip"] = "skip"
    method: KD = KD()
    train: TrainSettings = TrainSettings(epochs=3, learning_rate=1e-4)
