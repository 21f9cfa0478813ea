"""How often a local Ray is started where the machine is too busy, which addresses are tried; Ray itself is not."""

import socket
from typing import Any

import pytest
import ray

from kdray.errors import BadInput
from kdray.on_ray import session
from kdray.on_ray.session import STARTS, check_address, start_local

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


@pytest.mark.parametrize(
    "address", ["nonsense", "http://127.0.0.1:8265", "ray://127.0.0.1:10001", "here:port", ":6379", ""]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="give HOST:PORT"):
        check_address(address)


def test_an_address_at_which_nothing_answers_is_refused() -> None:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        port = there.getsockname()[1]
        with pytest.raises(BadInput, match=f"--address 127.0.0.1:{port}: nothing answers there"):
            check_address(f"127.0.0.1:{port}")
        there.listen()
        check_address(f"127.0.0.1:{port}")
    for wrong in ("127.0.0.1:99999", "no-such-host.invalid:6379"):
        with pytest.raises(BadInput, match="nothing answers there"):
            check_address(wrong)
    check_address("auto")
    check_address(None)


def test_ray_is_told_the_command_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    private: Any = ray._private.utils  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    monkeypatch.setattr(private, "get_entrypoint_name", lambda: "tune --storage postgresql://me:secret@host/db")
    session._tell_no_passwords()  # pyright: ignore[reportPrivateUsage]
    assert private.get_entrypoint_name() == "tune --storage postgresql://me:***@host/db"


def test_ray_really_asks_there_for_the_command() -> None:
    import inspect

    from ray._private import worker

    assert "entrypoint=ray._private.utils.get_entrypoint_name()" in inspect.getsource(worker.init)


@pytest.mark.parametrize("error", [ConnectionError("Failed to connect"), RuntimeError("Failed to connect. Or so")])
def test_who_is_not_let_in_is_told_about_the_token(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    starts(monkeypatch, [error])
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(
        BadInput, match=r"lets this command in \(Failed to connect\).*RAY_AUTH_MODE=token.*disabled now"
    ):
        session._connect("auto")  # pyright: ignore[reportPrivateUsage]
