"""Texts of many requests in one batch."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from kdray.serve.scorer import Row, Scores


class CanScore(Protocol):
    def score(self, rows: Sequence[Row]) -> Scores: ...


class Overloaded(Exception):
    """Too many rows wait already."""


@dataclass
class Batcher:
    """Collects rows until a batch is full or its first row has waited long enough, and scores them in one thread.

    Args:
        batch_rows: Of one batch at most.
        wait: Seconds that a row waits for others at most.
        queue_rows: Rows that may wait; further ones are refused.
        on_batch: Called with the rows of each batch.
    """

    scorer: CanScore
    batch_rows: int = 32
    wait: float = 0.002
    queue_rows: int = 4096
    on_batch: Any = len
    _waiting: list[tuple[Row, asyncio.Future[Any]]] = field(default_factory=list[Any], init=False)
    _some: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _full: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def score(self, rows: Sequence[Row]) -> list[tuple[Any, bool]]:
        """The values of each row, and whether it was truncated.

        Raises:
            Overloaded: The queue is full.
        """
        if len(self._waiting) + len(rows) > self.queue_rows:
            raise Overloaded
        futures = [asyncio.get_running_loop().create_future() for _ in rows]
        self._waiting += zip(rows, futures, strict=True)
        self._some.set()
        if len(self._waiting) >= self.batch_rows:
            self._full.set()
        return await asyncio.gather(*futures)

    async def run(self) -> None:
        """Work until it is cancelled; what was waiting then is cancelled too."""
        with ThreadPoolExecutor(1, thread_name_prefix="score") as pool:
            try:
                while True:
                    await self._some.wait()
                    if len(self._waiting) < self.batch_rows:
                        self._full.clear()
                        with suppress(TimeoutError):
                            await asyncio.wait_for(self._full.wait(), self.wait)
                    await self._next(pool)
                    if not self._waiting:
                        self._some.clear()
            finally:
                for _, future in self._waiting:
                    future.cancel()

    async def _next(self, pool: ThreadPoolExecutor) -> None:
        batch, self._waiting = self._waiting[: self.batch_rows], self._waiting[self.batch_rows :]
        batch = [(row, future) for row, future in batch if not future.done()]  # a client may have gone
        if not batch:
            return
        self.on_batch([row for row, _ in batch])
        try:
            score = partial(self.scorer.score, [row for row, _ in batch])
            scores = await asyncio.get_running_loop().run_in_executor(pool, score)
        except Exception as error:  # one batch must not end the service
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), values, cut in zip(batch, scores.values, scores.truncated, strict=True):
            if not future.done():
                future.set_result((values, bool(cut)))
