"""Optuna's storage for a database server that may be away for a moment: restarted, failed over, cut off."""

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import optuna
from sqlalchemy.exc import DBAPIError

from kdray import compat

log = logging.getLogger(__name__)

PATIENCE_SECONDS, RETRY_SECONDS = 120.0, 2.0


def retry_while_unavailable(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, repeated while the database is away.

    Raises:
        Exception: What `call` raises; that the database is away only after two minutes of it.
    """

    @wraps(call)
    def repeated(*given: Any, **more: Any) -> Any:
        end, is_first = time.monotonic() + PATIENCE_SECONDS, True
        while True:
            try:
                return call(*given, **more)
            except optuna.exceptions.UpdateFinishedTrialError:
                if is_first:
                    raise
                return True  # the trial's end was written before, unheard
            except Exception as error:
                if not is_away(error) or time.monotonic() > end:
                    raise
                if is_first:
                    log.warning("the study's database does not answer; waiting up to %g s for it", PATIENCE_SECONDS)
                is_first = False
                time.sleep(RETRY_SECONDS)

    return repeated


def is_away(error: BaseException) -> bool:
    """Whether the connection was lost or refused, rather than the question being wrong."""
    found = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    if not isinstance(found, DBAPIError):
        return False
    # without a code there was no server to give one; class 08 are lost connections, 57P its being stopped or started
    code = getattr(found.orig, "sqlstate", None) or ""
    return found.connection_invalidated or (_is_connecting(found) and not code) or code.startswith(("08", "57P"))


def _is_connecting(error: DBAPIError) -> bool:
    return type(error.orig).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")


# Each call may be repeated where the answer was lost on its way: what is written is written again, and a trial that was
# made unheard stays without a driver and is taken over like others of that kind.
RetryingStorage = compat.storage_class(retry_while_unavailable)
