"""SIGTERM, which schedulers and `kill` send, ends work as Ctrl-C does: drafts are removed, and the work can resume."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

from kdray.errors import Terminated


@contextmanager
def ended_by_sigterm(*, instead_of_any: bool = False) -> Generator[None]:
    """SIGTERM raises `Terminated` inside; at the end, the handler that was there is put back.

    Only the main thread may set handlers: elsewhere, nothing changes.

    Args:
        instead_of_any: Also replace another program's handler, such as that of Ray, which aborts the process.

    Raises:
        Terminated: Also in place of the plain KeyboardInterrupt that Ray makes of it inside its own calls.
    """
    arrived = threading.Event()

    def end(signum: int, frame: object) -> None:
        arrived.set()
        raise Terminated

    before = signal.getsignal(signal.SIGTERM)
    is_ours = threading.current_thread() is threading.main_thread() and (instead_of_any or before is signal.SIG_DFL)
    if is_ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if arrived.is_set():
            raise Terminated from None
        raise
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
