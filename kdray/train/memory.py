"""Memory between epochs."""

import ctypes
import gc
import time

COLLECT_EVERY = 30.0  # seconds: a full collection takes a quarter of a second, which is much of a short epoch
_collected = float("-inf")


def trim_memory() -> None:
    """Return free memory to the system.

    Batches of many shapes leave the C allocator with holes that it keeps: a process that trained one student after the
    other was seen to grow from 1 to 3.5 GB. Does nothing where the C library has no `malloc_trim`. Objects in cycles
    are collected first, if the last time was `COLLECT_EVERY` seconds ago.
    """
    global _collected
    if time.monotonic() - _collected > COLLECT_EVERY:
        gc.collect()
        _collected = time.monotonic()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
