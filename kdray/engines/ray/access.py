"""Who may use a local Ray: its servers listen on loopback only, and refuse every call without a random token.

Without both, every program that reaches a port of Ray, from this machine or from the network, can run commands as the
user.
"""

import os
import secrets
import shlex
import shutil
import stat
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from kdray import compat
from kdray.errors import ConfigError, RunError

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
FOLDER, FILE = ".kdray", "ray-token"
COLLECTIVES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
PROBE_SECONDS = 10.0


def check_access(address: str | None, *, allow_network: bool) -> None:
    """Refuse a local Ray that obeys everybody.

    Args:
        address: Of a cluster, which keeps its own mode; None is a local Ray.

    Raises:
        ConfigError: The user's `RAY_AUTH_MODE` turns authentication off, and `--allow-network` is not given.
    """
    mode = os.environ.get(MODE, "token")
    if mode.lower() not in ("token", "disabled"):
        raise ConfigError(f"{MODE}={mode}: it must be token or disabled.")
    if mode.lower() == "disabled" and not address and not allow_network:
        raise ConfigError(
            f"{MODE}=disabled: every user of this machine could run commands as you through Ray's ports; unset it, set "
            "it to token, or add --allow-network to start Ray all the same."
        )
    path = os.environ.get(TOKEN_PATH)
    if path is not None and mode.lower() == "token" and not os.environ.get(TOKEN) and not _holds_token(Path(path)):
        raise ConfigError(
            f"{TOKEN_PATH}={path}: there is no token in this file; unset it, or name a file that holds one."
        )


@contextmanager
def protected() -> Generator[None]:
    """The environment of this process and its children while a local Ray runs. At the end the old one is restored.

    A mode or a token of the user is kept.
    """
    with _token_path() as path, compat.loopback_only():
        given = {compat.LOOPBACK_SWITCH: "0", MODE: os.environ.get(MODE, "token")}
        given |= {name: os.environ.get(name, _loopback()) for name in COLLECTIVES}
        if not os.environ.get(TOKEN):
            given[TOKEN_PATH] = str(path)
        old_environment = {name: os.environ.get(name) for name in given}
        try:
            _set(given)
            yield
        finally:
            _set(old_environment)


def check_enforced(*, allow_network: bool) -> None:
    """Refuse a local Ray that was started and obeys a program without the token.

    Raises:
        RunError: It does.
    """
    if not allow_network and answers_strangers(_gcs_address()):
        raise RunError(
            "the installed Ray does not refuse programs without its token, so others could run commands as you; "
            "install Ray 2.60, or add --allow-network to start it all the same."
        )


def answers_strangers(address: str) -> bool:
    """Whether the head of a Ray cluster answers a call without a token."""
    return compat.answers_without_token(address, seconds=PROBE_SECONDS)


def cluster_answers_strangers() -> bool:
    """The same of the cluster that this process is connected to."""
    return answers_strangers(_gcs_address())


def command_prefix() -> str:
    """What `ray` commands of the user need before them, for a message; the token itself is never shown."""
    if TOKEN_PATH not in os.environ or os.environ.get(TOKEN):
        return f"{MODE}={os.environ.get(MODE, 'disabled')}"
    return f"{MODE}=token {TOKEN_PATH}={shlex.quote(os.environ[TOKEN_PATH])}"


def _gcs_address() -> str:
    import ray

    return ray.get_runtime_context().gcs_address


def _set(values: Mapping[str, str | None]) -> None:
    """Set or remove environment variables, also for what Ray has read of them already."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    compat.reread_authentication()


def _loopback() -> str:
    """The name of the loopback interface."""
    import socket

    return next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")


@contextmanager
def _token_path() -> Generator[Path]:
    """The file of the token: the user's choice, else one in the home folder, else one for this session alone."""
    temporary: Path | None = None
    if TOKEN_PATH in os.environ:
        path = Path(os.environ[TOKEN_PATH])
    else:
        try:
            path = private_token(Path.home() / FOLDER)
        except (OSError, RuntimeError):  # no home folder, or nothing can be written there
            temporary = Path(tempfile.mkdtemp(prefix="kdray-"))
            path = private_token(temporary)
    try:
        yield path
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def private_token(folder: Path) -> Path:
    """The file of a random token, which only this user can read; a file that others could read is replaced.

    Args:
        folder: Made if missing; its parent is not.

    Raises:
        OSError: It cannot be written, or belongs to another user.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    folder.chmod(0o700)
    path = folder / FILE
    if not _is_private(path):
        path.unlink(missing_ok=True)
        draft = folder / secrets.token_hex(8)
        draft.touch(mode=0o600, exist_ok=False)
        try:
            draft.write_text(secrets.token_hex(32))
            with suppress(FileExistsError):  # another command was faster
                path.hardlink_to(draft)
        finally:
            draft.unlink()
    return path


def _holds_token(path: Path) -> bool:
    try:
        return bool(path.read_text().strip())
    except OSError:
        return False


def _is_private(path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    is_mine = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return is_mine and found.st_size >= 64
