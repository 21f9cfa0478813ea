"""A Ray session: a cluster that is there, or a local one that only its own processes and its user can reach."""

import logging
import os
import re
import shutil
import socket
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdray import compat, metrics
from kdray.engines.ray.access import (
    TOKEN_PATH,
    check_access,
    check_enforced,
    cluster_answers_strangers,
    command_prefix,
    protected,
)
from kdray.errors import ConfigError, RunError
from kdray.interrupts import ended_by_sigterm
from kdray.log import is_verbose
from kdray.secrets import without_passwords

log = logging.getLogger(__name__)

STARTS = 3
STORE_BYTES = 400_000_000  # of Ray's objects
SHORT_FOLDER = "/tmp/ray"  # noqa: S108 - Ray's own, where TMPDIR is not set
NOISY = {  # `OnRay.map` quiets ray.data, whose import undoes it
    "ray.train": logging.ERROR,
    "ray.tune": logging.ERROR,
    "ray.tune.tune": logging.CRITICAL,  # that trials did not complete; the log has a line for each of them
}
SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # of the path of a socket, at most
FOLDER_BYTES = SOCKET_BYTES - len("/session_2026-11-29_12-15-35_123456_1234567/sockets/plasma_store")
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^\s:/\[\]]+):(\d{1,5})")
ANSWER_SECONDS = 10.0
HTTP_SECONDS = 3.0
DASHBOARD = "KDRAY_DASHBOARD"  # 0: a local Ray without one


@dataclass(frozen=True)
class Session:
    """Attributes:
    dashboard: URL, or None if the cluster has none.
    """

    dashboard: str | None
    cpus: float
    gpus: float
    nodes: int


@contextmanager
def session(address: str | None, *, allow_network: bool = False) -> Generator[Session]:
    """Connect to the cluster at `address` (`auto`: the one this machine belongs to), or start a local one.

    What was started here is stopped at the end; a cluster that was there is left alone.

    Args:
        allow_network: Start a local Ray also where others could use it.

    Raises:
        ConfigError: There is no cluster at `address`, or the environment turns authentication off.
        RunError: The installed Ray has no authentication.
    """
    check_access(address, allow_network=allow_network)
    compat.set_ray_switches()
    import ray

    if ray.is_initialized():
        with _at_work():
            yield _describe()
        return
    # Ray's core takes every handler of SIGTERM away at its end: the one that was there is put back after that
    with nullcontext() if address else protected(), ended_by_sigterm(instead_of_any=True):
        try:
            _connect(address, allow_network=allow_network)
            with _at_work():
                found = _describe()
                if not address:
                    _describe_access()
                yield found
        finally:
            metrics.install(None)
            ray.shutdown()


@contextmanager
def _at_work() -> Generator[None]:
    _count_here()
    for name, level in {} if is_verbose() else NOISY.items():
        logging.getLogger(name).setLevel(level)
    with ended_by_sigterm(instead_of_any=True):  # Ray has set its own handler
        yield


def check_address(address: str | None) -> None:
    """Refuse at once what Ray would try to reach for minutes.

    Raises:
        ConfigError: It is not the address of a cluster, nothing listens there, or it needs another token.
    """
    if address in (None, "local"):
        return
    given, address = address, _address_of_auto() if address == "auto" else address
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigError(
            f"--address {given}: give HOST:PORT of a Ray cluster's head (its port is 6379 unless it was started with "
            "another), or auto for the cluster that this machine belongs to."
        )
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        where = "there" if given == address else f"at {address}"
        raise ConfigError(
            f"--address {given}: nothing answers {where} ({error}); check the name and the "
            "port, and that the cluster runs (ray status on its head)."
        ) from None
    if _speaks_http(found[1].strip("[]"), int(found[2])):
        raise ConfigError(
            f"--address {given}: a web server answers there, such as Ray's dashboard; give the port of the cluster's "
            "head (6379 unless it was started with another)."
        )
    compat.set_ray_switches()
    if compat.refuses_token(address, seconds=ANSWER_SECONDS):
        raise _refused(given, "it needs a token, and none or a wrong one was given")


def _speaks_http(host: str, port: int) -> bool:
    """Ray's client would wait for minutes, without a word."""
    with suppress(OSError), socket.create_connection((host, port), timeout=HTTP_SECONDS) as connection:
        connection.sendall(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(5) == b"HTTP/"
    return False


def _address_of_auto() -> str:
    try:
        return compat.address_of_auto()
    except ConnectionError:
        raise ConfigError(
            "--address auto: no Ray cluster runs on this machine; give HOST:PORT of a cluster's head."
        ) from None


def _count_here() -> None:
    """This process's numbers go to Ray too; its log is whatever the command made of it."""
    from kdray.engines.ray.metrics import RayMetrics

    metrics.install(RayMetrics())


def living_nodes() -> int:
    import ray

    return sum(1 for node in ray.nodes() if node["Alive"])


def dashboard() -> str | None:
    """URL of the dashboard; None if the cluster has none."""
    url = compat.dashboard_url()
    return f"http://{url}" if url else None


def _connect(address: str | None, *, allow_network: bool = False) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    check_address(address)
    compat.change_shown_command(without_passwords)
    setup = {"worker_process_setup_hook": "kdray.engines.ray.metrics.set_up"}
    try:
        if address:
            with nullcontext() if is_verbose() else compat.without_stderr(shown_on_error=False), _quiet_core():
                ray.init(address=address, namespace="kdray", runtime_env=setup, logging_level=logging.ERROR)
            if cluster_answers_strangers():
                log.warning(
                    "the cluster at --address %s has no token authentication: every program that reaches its ports can "
                    "run commands on it; cluster/README.md describes how to turn it on",
                    address,
                )
        else:
            log.info("Ray: a local cluster starts, which takes some seconds")
            start_local(setup)
            check_enforced(allow_network=allow_network)
    except (ConnectionError, RuntimeError, AuthenticationError) as error:
        if not address:
            raise
        raise _refused(address, str(error).splitlines()[0].partition(". ")[0]) from None


def _quiet_core() -> AbstractContextManager[None]:
    return nullcontext() if is_verbose() else compat.quiet_core()


def _refused(address: str, why: str) -> ConfigError:
    mode = os.environ.get("RAY_AUTH_MODE", "disabled")
    places = "RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
    if mode.lower() == "token":
        fix = f"RAY_AUTH_MODE is token; give the token of this cluster in {places}."
    else:
        fix = (
            "If it was started with token authentication, set RAY_AUTH_MODE=token and give the token in "
            f"{places}; the mode is {mode} now."
        )
    return ConfigError(f"--address {address}: no Ray cluster lets this command in ({why}). {fix}")


def start_local(setup: dict[str, str]) -> None:
    """A local Ray. A start that takes more than Ray's 30 s is repeated, and a dashboard is not necessary.

    Raises:
        ConfigError: KDRAY_DASHBOARD is neither 0 nor 1.
        RunError: Ray does not start.
    """
    import ray

    compat.silence_start()
    given: dict[str, Any] = {"include_dashboard": _wants_dashboard(), "dashboard_host": "127.0.0.1"}
    given |= _temporary_folder()
    _warn_of_small_shared_memory()
    left = STARTS
    while left:
        left -= 1
        try:
            with _quiet_core():
                ray.init(
                    address="local",  # not `auto`, which would be a cluster that runs on this machine
                    namespace="kdray",
                    runtime_env=setup,
                    object_store_memory=STORE_BYTES,
                    logging_level=logging.ERROR,
                    **given,
                )
        except Exception as error:
            ray.shutdown()
            if given["include_dashboard"] and "dashboard" in str(error):
                log.warning("Ray's dashboard did not start (a busy machine or taken ports); Ray starts without it")
                given["include_dashboard"] = False
                left += 1
            elif "timed out during startup" not in str(error):
                raise RunError(f"Ray does not start: {str(error).strip().splitlines()[0]}") from error
            elif left:
                log.warning("Ray did not start within 30 s, the machine is busy; trying again")
            else:
                raise RunError(
                    f"Ray did not start in {STARTS} attempts of 30 s, the machine is too busy; try again later, or use "
                    "a cluster with --address."
                ) from error
        else:
            return


def _wants_dashboard() -> bool:
    wish = os.environ.get(DASHBOARD, "1")
    if wish not in ("0", "1"):
        raise ConfigError(f"{DASHBOARD}={wish}: write 0 for a local Ray without its dashboard, or 1.")
    return wish == "1"


def _temporary_folder() -> dict[str, str]:
    """Where Ray keeps its sockets, if its own choice is too long for them."""
    folder = compat.ray_folder()
    length = len(os.fsencode(Path(folder).absolute()))
    if length <= FOLDER_BYTES:
        return {}
    log.warning(
        "Ray keeps its files in %s: the temporary folder %s is too long for its sockets (%d bytes, at most %d)",
        SHORT_FOLDER,
        folder,
        length,
        FOLDER_BYTES,
    )
    return {"_temp_dir": SHORT_FOLDER}


def _warn_of_small_shared_memory() -> None:
    if Path("/dev/shm").is_dir() and (free := shutil.disk_usage("/dev/shm").free) < STORE_BYTES:  # noqa: S108
        log.warning(
            "shared memory (/dev/shm) has %d MB free, less than the %d MB of Ray's objects: they are in its temporary "
            "folder, which is slower; in Docker, use --shm-size=1g",
            free / 1e6,
            STORE_BYTES / 1e6,
        )


def _describe() -> Session:
    import ray

    resources = ray.cluster_resources()
    url = dashboard()
    nodes = living_nodes()
    found = Session(url, resources.get("CPU", 0.0), resources.get("GPU", 0.0), nodes)
    log.info(
        "Ray: %d node(s), %g CPUs, %g GPUs; dashboard %s",
        nodes,
        found.cpus,
        found.gpus,
        found.dashboard or "not running",
    )
    return found


def _describe_access() -> None:
    """How its user reaches a local Ray, whose token is in a file."""
    import ray

    if path := os.environ.get(TOKEN_PATH):
        log.info(
            "Ray: the token for its dashboard is in %s; commands need it too: %s ray status --address %s",
            path,
            command_prefix(),
            ray.get_runtime_context().gcs_address,
        )
