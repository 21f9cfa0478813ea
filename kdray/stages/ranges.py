"""Work over parts of a table, such as ranges of rows, that outlives a kill: what an earlier try left is read."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from kdray.ipc import TableMap, packed, unpacked
from kdray.stages.context import Context, Engine
from kdray.store import Work

log = logging.getLogger(__name__)

SEAL = hashlib.sha256().digest_size
RANGE_ROWS = 1024  # what a killed job may have to do again, and what one worker does at once


def in_ranges(
    parts: Sequence[pa.Table], factory: Callable[[], TableMap], context: Context, work: Work, name: str, *, title: str
) -> Iterator[pa.Table]:
    """What `factory()` makes of each part, in their order.

    A part is worked on as a whole, whatever the engine's workers and blocks, so that its result depends on nothing
    else; it is written as soon as it is there, so that a later try does only what is missing. What was made of other
    rows, or was written only in part when the power went, is made again.

    Args:
        parts: Such as from `parts_of`.
        factory: Made on each worker; the map may give any number of rows for a part.
        work: Of the artifact that asks; whoever makes it clears it in the end.
        name: Of this work among others in the same folder.
        title: For the log and the dashboard, such as `embed rte-sentence`.
    """
    store, where = context.store, f"{work.where}/{name}"
    there, files = set(store.children(where)), [_file(number, part) for number, part in enumerate(parts)]
    missing = [number for number, file in enumerate(files) if file not in there]
    if len(missing) < len(parts):
        log.info("%s: %d of %d parts are there from an earlier try", title, len(parts) - len(missing), len(parts))
    for place, made in context.engine.map([parts[number] for number in missing], factory, title=title):
        store.write_bytes(f"{where}/{files[missing[place]]}", _sealed(packed(made)))
    for part, file in zip(parts, files, strict=True):
        content = _unsealed(store.read_bytes(f"{where}/{file}"))
        if content is None:
            log.warning("%s: %s/%s is damaged and is made again", title, where, file)
            ((_, made),) = context.engine.map([part], factory, title=title)
            content = packed(made)
            store.write_bytes(f"{where}/{file}", _sealed(content))
        yield unpacked(content)


def in_order(
    parts: Sequence[pa.Table], factory: Callable[[], TableMap], engine: Engine, *, title: str
) -> list[pa.Table]:
    """The same for work that is cheaper to do again than to keep."""
    found = dict(engine.map(parts, factory, title=title))
    return [found[number] for number in range(len(parts))]


def parts_of(table: pa.Table) -> list[pa.Table]:
    """The ranges of a table; one, without rows, of a table without rows."""
    return [table.slice(start, RANGE_ROWS) for start in range(0, max(len(table), 1), RANGE_ROWS)]


def _file(number: int, part: pa.Table) -> str:
    return f"{number}-{hashlib.sha256(packed(part)).hexdigest()[:12]}.arrow"


def _sealed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def _unsealed(sealed: bytes) -> bytes | None:
    """What was sealed; None if some of it is missing or changed."""
    seal, content = sealed[:SEAL], sealed[SEAL:]
    return content if hashlib.sha256(content).digest() == seal else None
