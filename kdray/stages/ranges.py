"""Work over parts of a table, such as ranges of rows, that outlives a kill: what an earlier try left is read."""

import logging
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from kdray.ipc import packed, unpacked
from kdray.stages.context import Context, Engine, TableMap
from kdray.store import Work

log = logging.getLogger(__name__)

RANGE_ROWS = 1024  # what a killed job may have to do again, and what one worker does at once


def in_ranges(
    parts: Sequence[pa.Table], factory: Callable[[], TableMap], context: Context, work: Work, name: str, *, title: str
) -> Iterator[pa.Table]:
    """What `factory()` makes of each part, in their order.

    A part is worked on as a whole, whatever the engine's workers and blocks, so that its result depends on nothing
    else; it is written as soon as it is there, so that a later try does only what is missing.

    Args:
        parts: Such as from `parts_of`; always the same for one work folder and name.
        factory: Made on each worker; the map may give any number of rows for a part.
        work: Of the artifact that asks; whoever makes it clears it in the end.
        name: Of this work among others in the same folder.
        title: For the log and the dashboard, such as `embed rte-sentence`.
    """
    store, where = context.store, f"{work.where}/{name}"
    there = set(store.children(where))
    missing = [number for number in range(len(parts)) if _file(number) not in there]
    if len(missing) < len(parts):
        log.info("%s: %d of %d parts are there from an earlier try", title, len(parts) - len(missing), len(parts))
    for place, made in context.engine.map([parts[number] for number in missing], factory, title=title):
        store.write_bytes(f"{where}/{_file(missing[place])}", packed(made))
    for number in range(len(parts)):
        yield unpacked(store.read_bytes(f"{where}/{_file(number)}"))


def in_order(
    parts: Sequence[pa.Table], factory: Callable[[], TableMap], engine: Engine, *, title: str
) -> list[pa.Table]:
    """The same for work that is cheaper to do again than to keep."""
    found = dict(engine.map(parts, factory, title=title))
    return [found[number] for number in range(len(parts))]


def parts_of(table: pa.Table) -> list[pa.Table]:
    """The ranges of a table; one, without rows, of a table without rows."""
    return [table.slice(start, RANGE_ROWS) for start in range(0, max(len(table), 1), RANGE_ROWS)]


def _file(number: int) -> str:
    return f"{number}.arrow"
