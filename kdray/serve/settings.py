"""What a service allows."""

from typing import Self

from pydantic import Field, model_validator

from kdray.records import Settings


class ServeSettings(Settings):
    """
    Attributes:
        batch_rows: Texts that are scored at once at most.
        wait_ms: Milliseconds that a text waits for others to share its batch.
        queue_rows: Texts that may wait; a request beyond is answered 503.
        body_bytes: Of a request; a larger one is answered 413.
        texts: Of a request; more are answered 413.
        characters: Of a text; a longer one is answered 413.
        abstain_below: A prediction of lower confidence has no label.
        token: Callers must give it; None answers everybody.
    """

    batch_rows: int = Field(default=32, ge=1, le=4096)
    wait_ms: float = Field(default=2.0, ge=0, le=1000)
    queue_rows: int = Field(default=4096, ge=1, le=1_000_000)
    body_bytes: int = Field(default=4_000_000, ge=1, le=1_000_000_000)
    texts: int = Field(default=1024, ge=1, le=1_000_000)
    characters: int = Field(default=100_000, ge=1, le=100_000_000)
    abstain_below: float | None = Field(default=None, ge=0, le=1)
    token: str | None = None

    @model_validator(mode="after")
    def _a_request_can_wait(self) -> Self:
        if self.queue_rows < self.texts:
            raise ValueError(
                f"queue_rows = {self.queue_rows} is below texts = {self.texts}, so a request of so many texts would "
                "never be answered; raise the first or lower the second"
            )
        return self
