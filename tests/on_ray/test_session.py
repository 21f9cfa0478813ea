"""How often a local Ray is started where the machine is too busy; Ray itself is not."""

from typing import Any

import pytest
import ray

from kdray.on_ray.session import STARTS, start_local

TIMED_OUT = "The current node timed out during startup. This could happen because"


def starts(monkeypatch: pytest.MonkeyPatch, errors: list[Exception | None]) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []

    def init(**given: Any) -> None:
        asked.append(given)
        if error := errors[len(asked) - 1]:
            raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return asked


def test_a_start_that_timed_out_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = starts(monkeypatch, [Exception(TIMED_OUT), Exception(TIMED_OUT), None])
    start_local({})
    assert len(asked) == 3 == STARTS
    assert asked[0] == asked[2]
    assert caplog.text.count("did not start within 30 s") == 2


def test_the_last_timeout_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = starts(monkeypatch, [Exception(TIMED_OUT)] * STARTS)
    with pytest.raises(Exception, match="timed out during startup"):
        start_local({})
    assert len(asked) == STARTS


def test_another_error_is_raised_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = starts(monkeypatch, [ValueError("something else"), None])
    with pytest.raises(ValueError, match="something else"):
        start_local({})
    assert len(asked) == 1
