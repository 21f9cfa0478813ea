"""An engine for tests: it counts what it was asked to do, works backwards, and dies when it is told to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from kdray.arrow_io import TableMap


class Killed(Exception):
    pass


@dataclass
class Backwards:
    """Attributes:
    dies_after: Parts, over all maps; None never dies.
    done: Title and number of rows of every part that was worked on.
    texts: Of those parts that have texts.
    """

    dies_after: int | None = None
    done: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    texts: list[str] = field(default_factory=list[str])
    threads: int = 0
    training_workers: int = 1

    def map(
        self, parts: Sequence[pa.Table], factory: Callable[[], TableMap], *, title: str
    ) -> Iterator[tuple[int, pa.Table]]:
        apply = factory()
        for number in reversed(range(len(parts))):
            if len(self.done) == self.dies_after:
                raise Killed
            self.done.append((title, len(parts[number])))
            if "text" in parts[number].column_names:
                self.texts += parts[number]["text"].to_pylist()
            yield number, apply(parts[number])

    def fit(self, spec: object) -> None:
        raise NotImplementedError
