"""Settings of one training."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kdray.models import Precision


class TrainSettings(BaseModel):
    """How a model is trained. AdamW, linear decay after warm-up, gradients clipped.

    Attributes:
        batch_size: Rows per optimizer step over all workers.
        accumulate: Micro-batches per optimizer step; batch_size is split into so many.
        warmup: Share of all steps, 0 to 1.
        clip: Largest gradient norm; 0 turns clipping off.
        max_length: Tokens per row at most.
        patience: Stop after so many epochs without a better score on the selection split; 0 never stops early.
        keep: Export the weights of the `best` epoch on the selection split, or of the `last`.
        checkpoint_steps: Save every so many steps as well as after every epoch; 0 only after epochs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(default=3, ge=1)
    batch_size: int = Field(default=32, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    clip: float = Field(default=1.0, ge=0)
    max_length: int = Field(default=128, ge=8)
    precision: Precision = "auto"
    patience: int = Field(default=0, ge=0)
    keep: Literal["best", "last"] = "best"
    checkpoint_steps: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
