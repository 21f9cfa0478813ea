"""How often a local Ray is started where the machine is too busy, which addresses are tried; Ray itself is not."""

import inspect
import logging
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray._private import services

from kdray.engines.ray import session
from kdray.engines.ray.session import FOLDER_BYTES, STARTS, check_address, start_local
from kdray.errors import ConfigError, RunError
from kdray.log import configure

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


def test_after_the_last_timeout_the_command_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = starts(monkeypatch, [Exception(TIMED_OUT)] * STARTS)
    with pytest.raises(RunError, match=r"^Ray did not start in 3 attempts of 30 s, the machine is too busy"):
        start_local({})
    assert len(asked) == STARTS


def test_another_error_ends_the_command_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = starts(monkeypatch, [ValueError("something else\nand more"), None])
    with pytest.raises(RunError, match=r"^Ray does not start: something else$"):
        start_local({})
    assert len(asked) == 1


def test_ray_starts_without_a_dashboard_that_does_not_come_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines = "\n".join(["", "2026-11-29 ERROR head.py"] * 20)
    failed = Exception(f"{lines}\nThe last 20 lines of /tmp/ray/session/logs/dashboard.log (it contains the error")
    asked = starts(monkeypatch, [failed, Exception(TIMED_OUT), None])
    monkeypatch.delenv("KDRAY_DASHBOARD")
    start_local({})
    assert [given["include_dashboard"] for given in asked] == [True, False, False]
    assert [record.message for record in caplog.records] == [
        "Ray's dashboard did not start (a busy machine or taken ports); Ray starts without it",
        "Ray did not start within 30 s, the machine is busy; trying again",
    ]
    assert not logging.getLogger("ray._private.services").isEnabledFor(logging.ERROR), "it prints the log"


@pytest.mark.parametrize(("wish", "started"), [("0", False), ("1", True)])
def test_a_local_ray_starts_without_its_dashboard_on_request(
    monkeypatch: pytest.MonkeyPatch, wish: str, started: bool
) -> None:
    monkeypatch.setenv("KDRAY_DASHBOARD", wish)
    asked = starts(monkeypatch, [None])
    start_local({})
    assert [given["include_dashboard"] for given in asked] == [started]


def test_another_wish_for_the_dashboard_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRAY_DASHBOARD", "off")
    with pytest.raises(
        ConfigError, match=r"^KDRAY_DASHBOARD=off: write 0 for a local Ray without its dashboard, or 1\.$"
    ):
        start_local({})


def test_ray_itself_still_words_these_failures_so() -> None:
    from ray._private import node, services

    assert "dashboard" in inspect.getsource(services.start_api_server)
    assert "timed out during startup" in inspect.getsource(node)


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_temporary_folder_too_long_for_sockets_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    asked = starts(monkeypatch, [None, None])
    monkeypatch.setenv(variable, "/" + "x" * (FOLDER_BYTES - len("//ray")))
    start_local({})
    assert "_temp_dir" not in asked[0]
    assert "too long" not in caplog.text
    monkeypatch.setenv(variable, "/" + "x" * (FOLDER_BYTES - len("//ray") + 1))
    start_local({})
    assert asked[1]["_temp_dir"] == "/tmp/ray"
    assert f"is too long for its sockets ({FOLDER_BYTES + 1} bytes, at most {FOLDER_BYTES})" in caplog.text


def test_little_shared_memory_gives_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts(monkeypatch, [None, None])
    free = SimpleNamespace(free=session.STORE_BYTES)
    monkeypatch.setattr(session.shutil, "disk_usage", lambda path: free)
    start_local({})
    assert "shared memory" not in caplog.text
    free.free = 64_000_000
    start_local({})
    assert "shared memory (/dev/shm) has 64 MB free, less than the 400 MB of Ray's objects" in caplog.text


@pytest.mark.parametrize("is_open", [True, False])
def test_a_cluster_without_authentication_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_open: bool
) -> None:
    starts(monkeypatch, [None])
    monkeypatch.setattr(session, "cluster_answers_strangers", lambda: is_open)
    monkeypatch.setattr(session, "check_address", lambda _: None)
    session._connect("auto")  # pyright: ignore[reportPrivateUsage]
    warnings = ["the cluster at --address auto has no token authentication: every program that reaches its ports can"]
    assert [record.message[: len(warnings[0])] for record in caplog.records] == (warnings if is_open else [])


@pytest.mark.parametrize(
    "address", ["nonsense", "http://127.0.0.1:8265", "ray://127.0.0.1:10001", "here:port", ":6379", ""]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        check_address(address)


def test_an_address_at_which_nothing_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_SECONDS", 1.0)
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        port = there.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--address 127.0.0.1:{port}: nothing answers there"):
            check_address(f"127.0.0.1:{port}")
        there.listen()
        check_address(f"127.0.0.1:{port}")
    for wrong in ("127.0.0.1:99999", "no-such-host.invalid:6379"):
        with pytest.raises(ConfigError, match="nothing answers there"):
            check_address(wrong)
    check_address(None)


def test_the_port_of_a_web_server_is_refused() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ConfigError, match=r"a web server answers there, such as Ray's dashboard; give the port"):
            check_address(f"127.0.0.1:{server.server_port}")
        server.shutdown()


def test_auto_is_checked_like_the_address_that_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(services, "resolve_ip_for_localhost", lambda host: host)
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{there.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ConfigError, match=f"--address auto: nothing answers at {address}"):
            check_address("auto")
        there.listen()
        check_address("auto")


def test_auto_without_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(services, "find_gcs_addresses", set)
    monkeypatch.setattr(services, "find_bootstrap_address", lambda _: None)
    with pytest.raises(ConfigError, match="--address auto: no Ray cluster runs on this machine; give HOST:PORT"):
        check_address("auto")


@pytest.mark.parametrize("error", [ConnectionError("Failed to connect"), RuntimeError("Failed to connect. Or so")])
def test_a_refused_client_gets_a_sentence_about_the_token_and_no_lines_of_ray(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    sentence = r"lets this command in \(Failed to connect\).*RAY_AUTH_MODE=token.*disabled now"

    def fails(**given: object) -> None:
        os.write(2, b"a line of Ray's core\n")
        raise error

    for level in ("INFO", "DEBUG"):
        starts(monkeypatch, [])
        monkeypatch.setattr("ray.init", fails)
        monkeypatch.setattr(session, "check_address", lambda _: None)
        configure(level)
        with pytest.raises(ConfigError, match=sentence):
            session._connect("auto")  # pyright: ignore[reportPrivateUsage]
        assert ("a line of Ray's core" in capfd.readouterr().err) == (level == "DEBUG")  # as --verbose sets it
