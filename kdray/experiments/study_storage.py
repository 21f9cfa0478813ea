"""Optuna's storage for a database server that may be away for a moment: restarted, failed over, cut off."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import optuna
from sqlalchemy.exc import DBAPIError

from kdray import compat, retries

log = logging.getLogger(__name__)


def retry_while_unavailable(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, repeated while the database is away.

    Raises:
        Exception: What `call` raises; that the database is away only after two minutes of it.
    """

    @wraps(call)
    def repeated(*given: Any, **more: Any) -> Any:
        unheard: list[Exception] = []

        def once() -> Any:
            try:
                return call(*given, **more)
            except optuna.exceptions.UpdateFinishedTrialError:
                if not unheard:
                    raise
                return True  # the trial's end was written before, unheard

        def tell(error: Exception) -> None:
            if not unheard:
                log.warning("the study's database does not answer; waiting up to %g s for it", retries.PATIENCE_SECONDS)
            unheard.append(error)

        return retries.retry(once, is_away, waits=tell)

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
