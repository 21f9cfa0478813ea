"""Repeating what fails for a moment."""

from collections.abc import Callable

import pytest

from kdray import retries
from kdray.retries import retry


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


def is_temporary(error: Exception) -> bool:
    return isinstance(error, ConnectionError)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which move a clock instead of taking time."""
    pauses: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", pauses.append)
    monkeypatch.setattr(retries.time, "monotonic", lambda: sum(pauses))
    return pauses


def test_temporary_errors_are_repeated_after_a_pause(slept: list[float]) -> None:
    told: list[Exception] = []
    errors = [ConnectionError("first"), ConnectionError("second")]
    assert retry(failing(*errors), is_temporary, waits=told.append) == "done"
    assert (told, slept) == (errors, [2.0, 2.0])


def test_other_errors_are_raised_at_once(slept: list[float]) -> None:
    with pytest.raises(ValueError, match="wrong"):
        retry(failing(ValueError("wrong")), is_temporary)
    assert not slept


@pytest.mark.parametrize(("seconds", "attempts"), [(None, 62), (30.0, 17), (0.0, 2)])
def test_the_last_error_is_raised_when_the_time_is_over(
    slept: list[float], seconds: float | None, attempts: int
) -> None:
    errors = [ConnectionError(str(number)) for number in range(1, 100)]
    with pytest.raises(ConnectionError, match=f"^{attempts}$"):
        retry(failing(*errors), is_temporary, seconds=seconds)
    assert len(slept) == attempts - 1
