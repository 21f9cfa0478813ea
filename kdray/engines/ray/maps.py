"""Maps over tables by Ray Data. Its workers import this and what the map itself needs: no torch for counting words."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import ray.data
from ray.util.annotations import RayDeprecationWarning

from kdray import metrics
from kdray.arrow_io import TableMap, from_bytes, to_bytes
from kdray.engines.ray.failures import MapFailed, described
from kdray.errors import KdrayError


def map_tables(
    parts: Sequence[pa.Table],
    factory: Callable[[], TableMap],
    *,
    name: str,
    tags: Mapping[str, str],
    actors: int,
    cpus: float,
    gpus: float,
    block_rows: int,
    retries: int,
) -> Iterator[tuple[int, pa.Table]]:
    """Numbers of the parts and what `factory()` makes of them, in any order.

    Parts travel as bytes, one row each, so that Ray Data, which cuts and joins blocks as it likes, cannot cut one.

    Args:
        name: Of the actors' class, which the dashboard shows.
        tags: Of what is counted (see `kdray.metrics`).
        block_rows: Of the parts together, that one block holds; at least one part.
        retries: How often a lost actor is started again; then what it worked on has failed.
    """
    # importing ray.data had set it back; the driver shows the error of a map in a sentence
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    blocks: list[Any] = [_block(parts, numbers) for numbers in _blocks(parts, block_rows)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RayDeprecationWarning)  # there is no other way yet to say how often to restart
        # `from_arrow` would first start a worker for each block, to look at it
        dataset = ray.data.from_blocks(blocks).map_batches(
            type(name, (_TableWorker,), {}),
            fn_constructor_kwargs={"factory": factory, "tags": tags},
            batch_format="pyarrow",
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=max(1, min(actors, len(blocks)))),
            num_cpus=cpus,
            num_gpus=gpus,
            scheduling_strategy="SPREAD",  # half a processor each: two would share one node while another is idle
            max_restarts=retries,
            max_task_retries=-1,  # calls to a lost node fail at once, again and again, until Ray has noticed its loss
        )
    batches: Iterable[Any] = dataset.iter_batches(batch_size=None, batch_format="pyarrow")
    for batch in batches:
        for number, made in zip(batch["part"].to_pylist(), batch["rows"], strict=True):
            yield number, from_bytes(made.as_buffer())


class _TableWorker:
    """The map is made with the first block: Ray reports an error of a constructor only as text."""

    def __init__(self, factory: Callable[[], TableMap], tags: Mapping[str, str]) -> None:
        self._factory, self._tags = factory, tags

    @cached_property
    def _apply(self) -> TableMap:
        apply = self._factory()
        if "torch" in sys.modules:  # other actors run at the same time
            sys.modules["torch"].set_num_threads(1)
        return apply

    def __call__(self, batch: pa.Table) -> pa.Table:
        try:
            with described():
                return self._map(batch)
        except KdrayError as error:
            raise MapFailed(error) from None

    def _map(self, batch: pa.Table) -> pa.Table:
        found: list[bytes] = []
        for rows in batch["rows"]:
            part = from_bytes(rows.as_buffer())
            with metrics.working_on(len(part), **self._tags):
                found.append(to_bytes(self._apply(part)))
        return pa.table({"part": batch["part"], "rows": pa.array(found, pa.large_binary())})


def _blocks(parts: Sequence[pa.Table], block_rows: int) -> Iterator[list[int]]:
    block, rows = list[int](), 0
    for number, part in enumerate(parts):
        if block and rows + len(part) > block_rows:
            yield block
            block, rows = [], 0
        block.append(number)
        rows += len(part)
    if block:
        yield block


def _block(parts: Sequence[pa.Table], numbers: list[int]) -> pa.Table:
    return pa.table({"part": numbers, "rows": pa.array([to_bytes(parts[n]) for n in numbers], pa.large_binary())})
