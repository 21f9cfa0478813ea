"""Settings of one training."""

from typing import Literal

from pydantic import Field, model_validator

from kdray.models import Precision
from kdray.records import Settings


class TrainSettings(Settings):
    """How a model is trained. AdamW, linear decay after warm-up, gradients clipped.

    Attributes:
        epochs: How often every training row is read.
        batch_size: Rows per optimizer step over all workers.
        accumulate: Micro-batches per optimizer step; batch_size is split into so many.
        learning_rate: The largest one, reached after the warm-up.
        weight_decay: Of AdamW; biases and normalizations have none.
        warmup: Share of all steps, 0 to 1.
        clip: Largest gradient norm; 0 turns clipping off.
        max_length: Tokens per row at most.
        precision: `bf16` uses autocast; `auto` takes it where the processor or GPU is fast in it, and `fp32` elsewhere.
        patience: Stop after so many epochs without a better score on the validation split; 0 never stops early.
        keep: Export the weights of the `best` epoch on the validation split, or of the `last`.
        balance: Batches of `rows` as they are, or with equal numbers of rows of all `languages`: in an epoch, which has
            as many rows as before, rows of small languages repeat and some of large ones are left out.
        checkpoint_steps: Save every so many steps as well as after every epoch; 0 only after epochs.
        seed: Of the order of the rows, dropout and new weights.
    """

    epochs: int = Field(default=3, ge=1, le=1000)
    batch_size: int = Field(default=32, ge=1, le=65_536)
    accumulate: int = Field(default=1, ge=1, le=65_536)
    learning_rate: float = Field(default=5e-5, gt=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0, le=10)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    clip: float = Field(default=1.0, ge=0, le=1e6)
    max_length: int = Field(default=128, ge=8, le=32_768)
    precision: Precision = "auto"
    patience: int = Field(default=0, ge=0, le=1000)
    keep: Literal["best", "last"] = "best"
    balance: Literal["rows", "languages"] = "rows"
    checkpoint_steps: int = Field(default=0, ge=0, le=1_000_000)
    seed: int = Field(default=0, ge=0, le=4_294_967_295)

    @model_validator(mode="after")
    def _batches_can_be_split(self) -> "TrainSettings":
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate = {self.accumulate} is above batch_size = {self.batch_size}: a batch of as many rows "
                "cannot be split into more micro-batches"
            )
        return self

    @model_validator(mode="after")
    def _patience_can_run_out(self) -> "TrainSettings":
        if self.patience >= self.epochs and self.patience > 0:
            raise ValueError(
                f"patience = {self.patience} has no effect: there are {self.epochs} epochs; give fewer than that, or 0"
            )
        return self
