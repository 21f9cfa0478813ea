"""Repeating what fails for a moment: a server that restarts, a table that another process makes."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS, RETRY_SECONDS = 120.0, 2.0  # for servers that do not answer
T = TypeVar("T")


def retry(
    action: Callable[[], T],
    is_temporary: Callable[[Exception], bool],
    *,
    waits: Callable[[Exception], object] = lambda error: None,
    seconds: float | None = None,
    pause: Callable[[], float] = lambda: RETRY_SECONDS,
) -> T:
    """The result of `action`, which is repeated while its exceptions are temporary.

    Args:
        waits: Called before each pause, with the exception.
        seconds: No attempt begins later; None is `PATIENCE_SECONDS`.
        pause: Seconds to the next attempt.

    Raises:
        Exception: Of the last attempt.

    >>> found = iter([OSError("away"), 1])
    >>> def ask():
    ...     answer = next(found)
    ...     if isinstance(answer, OSError):
    ...         raise answer
    ...     return answer
    >>> retry(ask, lambda error: "away" in str(error), pause=lambda: 0)
    1
    """
    end = time.monotonic() + (PATIENCE_SECONDS if seconds is None else seconds)
    while True:
        try:
            return action()
        except Exception as error:
            if not is_temporary(error) or time.monotonic() > end:
                raise
            waits(error)
        time.sleep(pause())
