"""The token of a local Ray and the environment it starts in; Ray itself is not started."""

import os
import stat
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, get_authentication_mode  # pyright: ignore[reportAttributeAccessIssue]

from kdray import compat
from kdray.engines.ray import access
from kdray.engines.ray.access import (
    answers_strangers,
    check_access,
    check_enforced,
    command_prefix,
    private_token,
    protected,
)
from kdray.engines.ray.session import check_address
from kdray.errors import ConfigError, RunError

VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", compat.LOOPBACK_SWITCH, *access.COLLECTIVES)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


TOKEN = "7" * 64


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_token_is_random_and_only_its_user_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        one, other = private_token(tmp_path / "one"), private_token(tmp_path / "other")
    finally:
        os.umask(old)
    assert len(one.read_text()) == 64
    assert one.read_text() != other.read_text()
    assert (mode_of(one), mode_of(one.parent)) == (0o600, 0o700)
    assert list(one.parent.iterdir()) == [one]


def test_a_token_is_kept_for_later_sessions(tmp_path: Path) -> None:
    first = private_token(tmp_path / "one").read_text()
    assert private_token(tmp_path / "one").read_text() == first


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o644), lambda path: path.write_text("short")])
def test_a_token_that_others_could_read_or_guess_is_replaced(tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    path = private_token(tmp_path / "one")
    first = path.read_text()
    path.parent.chmod(0o755)
    spoil(path)
    assert private_token(tmp_path / "one") == path
    assert path.read_text() not in (first, "short")
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)


def test_a_link_in_place_of_the_folder_or_of_the_token_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        private_token(tmp_path / "link")
    (tmp_path / "one").mkdir()
    (tmp_path / "known").write_text("0" * 64)
    (tmp_path / "known").chmod(0o600)
    (tmp_path / "one" / access.FILE).symlink_to(tmp_path / "known")
    assert private_token(tmp_path / "one").read_text() != "0" * 64
    assert (tmp_path / "known").read_text() == "0" * 64


def test_a_local_ray_starts_with_a_token_on_loopback_and_leaves_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    with protected():
        path = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert path == Path.home() / ".kdray" / "ray-token"
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert os.environ[compat.LOOPBACK_SWITCH] == "0"
        assert os.environ["GLOO_SOCKET_IFNAME"] == os.environ["NCCL_SOCKET_IFNAME"] == "lo"
        assert not ray_constants.ENABLE_RAY_CLUSTER
        assert get_authentication_mode() == 1  # Ray reads the mode only once by itself
        assert AuthenticationTokenLoader.instance().get_raw_token() == path.read_text()
        assert command_prefix() == f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={path}"
        assert path.read_text() not in " ".join(os.environ.values())
    assert dict(os.environ) == before
    assert get_authentication_mode() == 0
    assert ray_constants.ENABLE_RAY_CLUSTER


@pytest.mark.parametrize("home", ["missing/home", "file"])
def test_without_a_home_folder_the_token_lasts_as_long_as_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    with protected():
        path = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    assert not path.parent.exists()
    assert not (tmp_path / "missing").exists()


def test_a_token_of_the_user_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("mine" * 16)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "mine"))
    check_access(None, allow_network=False)
    with protected():
        assert AuthenticationTokenLoader.instance().get_raw_token() == "mine" * 16
    monkeypatch.setenv("RAY_AUTH_TOKEN", "direct" * 10)
    with protected():
        assert AuthenticationTokenLoader.instance().get_raw_token() == "direct" * 10
        assert "direct" not in command_prefix()


def test_authentication_is_not_turned_off_without_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ConfigError, match=r"RAY_AUTH_MODE=disabled: every user of this machine .* add --allow-network"):
        check_access(None, allow_network=False)
    check_access(None, allow_network=True)
    check_access("auto", allow_network=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "tokn")
    with pytest.raises(ConfigError, match="RAY_AUTH_MODE=tokn: it must be token or disabled"):
        check_access("auto", allow_network=True)


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_file_without_a_token_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(ConfigError, match="there is no token in this file"):
        check_access(None, allow_network=False)


@pytest.fixture(params=[True, False], ids=["authentication", "no authentication"])
def head(request: pytest.FixtureRequest) -> Iterator[tuple[str, bool]]:
    """A server like Ray's head, and whether it needs a token."""

    def answer(given: bytes, context: Any) -> bytes:
        if request.param and ("authorization", f"Bearer {TOKEN}") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        return b""

    method = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    service = grpc.method_handlers_generic_handler("ray.rpc.NodeInfoGcsService", {"CheckAlive": method})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", request.param
    server.stop(None)


def test_a_ray_that_obeys_strangers_is_recognized(head: tuple[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    address, is_closed = head
    assert answers_strangers(address) == (not is_closed)
    monkeypatch.setattr(access, "_gcs_address", lambda: address)
    check_enforced(allow_network=True)
    if is_closed:
        check_enforced(allow_network=False)
    else:
        with pytest.raises(RunError, match=r"does not refuse programs without its token.*--allow-network"):
            check_enforced(allow_network=False)


@pytest.mark.parametrize(
    ("token", "is_wrong"), [(None, True), ("0" * 64, True), (TOKEN, False)], ids=["none", "another", "its own"]
)
def test_a_cluster_that_takes_another_token_is_refused_at_once(
    head: tuple[str, bool], monkeypatch: pytest.MonkeyPatch, token: str | None, is_wrong: bool
) -> None:
    address, is_closed = head
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    if token:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    compat.reread_authentication()
    try:
        if is_closed and is_wrong:
            with pytest.raises(ConfigError, match=r"or a wrong one was given\). RAY_AUTH_MODE is token; give"):
                check_address(address)
        else:
            check_address(address)
    finally:
        monkeypatch.undo()
        compat.reread_authentication()
