"""Work over parts of a table that survives a kill: what an earlier try left is read."""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kdray.arrow_io import TableMap, from_bytes, to_bytes
from kdray.engines import Engine, InProcess
from kdray.errors import RunError
from kdray.stages.context import Context
from kdray.store import Store, WorkFolder, prepend_checksum, strip_checksum
from kdray.teachers import TeacherInference
from kdray.train.progress import Progress

log = logging.getLogger(__name__)

PART_ROWS = 1024  # what a killed job may have to do again, and what one worker does at once


def map_resumable(
    parts: Sequence[pa.Table],
    factory: Callable[[], TableMap],
    context: Context,
    work: WorkFolder,
    name: str,
    *,
    title: str,
) -> Iterator[pa.Table]:
    """What `factory()` makes of each part, in their order, as soon as it and those before it are there.

    A part is worked on as a whole, whatever the engine's workers and blocks, so that its result depends on nothing
    else; it is written as soon as it is there, so that a later try does only what is missing. What was made of other
    rows, or was written only in part when the power went, is made again.

    Args:
        parts: Such as from `split_rows`.
        factory: Made on each worker; the map may give any number of rows for a part.
        work: Of the artifact in the making, which clears it in the end.
        name: Of this work among others in the same folder.
        title: For the log and the dashboard, such as `embed rte-sentence`.
    """
    store, where = context.store, f"{work.where}/{name}"
    files = [_file(number, part) for number, part in enumerate(parts)]
    there = _whole(store, where, files, title)
    missing = [number for number, file in enumerate(files) if file not in there]
    if there:
        log.info("%s: %d of %d parts are there from an earlier try", title, len(there), len(parts))
    waiting = deque(files)

    def due() -> Iterator[pa.Table]:
        while waiting and waiting[0] in there:
            yield from_bytes(_content(store, where, waiting.popleft()))

    yield from due()
    left = [parts[number] for number in missing]
    with Progress(title, sum(map(len, left)), is_logging=bool(left)) as progress:
        is_here = isinstance(context.engine, InProcess)
        each = partial(_shown, factory, progress) if is_here else factory
        for place, made in context.engine.map(left, each, title=title):
            file = files[missing[place]]
            store.write_bytes(f"{where}/{file}", prepend_checksum(file, to_bytes(made)))
            there.add(file)
            if not is_here:
                progress.show(len(left[place]))
            yield from due()


def _shown(factory: Callable[[], TableMap], progress: Progress) -> TableMap:
    """The map of an engine of this process, which shows its rows: a teacher's after each batch, others by parts."""
    apply = factory()
    if isinstance(apply, TeacherInference):
        return partial(apply, on_rows=progress.show)

    def whole(part: pa.Table) -> pa.Table:
        made = apply(part)
        progress.show(len(part))
        return made

    return whole


def in_order(
    parts: Sequence[pa.Table], factory: Callable[[], TableMap], engine: Engine, *, title: str
) -> list[pa.Table]:
    """The same for work that is cheaper to do again than to keep."""
    found = dict(engine.map(parts, factory, title=title))
    return [found[number] for number in range(len(parts))]


def longest_first(texts: Sequence[pa.Array | pa.ChunkedArray]) -> np.ndarray:
    """The order of rows, by the length of their texts together.

    Parts in that order waste less padding, as their rows are alike; the last ones are quick, so that no
    worker is at a long one when the others have ended; and what does not fit into memory shows at once.
    """
    lengths = [_length(text).to_numpy(zero_copy_only=False) for text in texts]
    return np.argsort(-np.sum(lengths, axis=0), kind="stable")


def _length(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.list_value_length(texts) if pa.types.is_list(texts.type) else pc.utf8_length(texts)


def split_rows(table: pa.Table) -> list[pa.Table]:
    """A table in parts of `PART_ROWS` rows; one part, without rows, of a table without rows."""
    return [table.slice(start, PART_ROWS) for start in range(0, max(len(table), 1), PART_ROWS)]


def _file(number: int, part: pa.Table) -> str:
    return f"{number}-{hashlib.sha256(to_bytes(part)).hexdigest()[:12]}.arrow"


def _whole(store: Store, where: str, files: Sequence[str], title: str) -> set[str]:
    """Those of the files that an earlier try wrote to their end."""
    found = set(store.children(where)).intersection(files)
    damaged = {file for file in found if strip_checksum(file, store.read_bytes(f"{where}/{file}")) is None}
    for file in sorted(damaged):
        log.warning("%s: %s/%s is damaged and is made again", title, where, file)
    return found - damaged


def _content(store: Store, where: str, file: str) -> bytes:
    content = strip_checksum(file, store.read_bytes(f"{where}/{file}"))
    if content is None:
        raise RunError(f"{store.uri_of(where)}/{file} was damaged while it was in use; run the same command again.")
    return content
