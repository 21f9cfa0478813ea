"""A Ray session: a cluster that is there, or a local one with its dashboard on loopback."""

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from kdray import meters
from kdray.errors import BadInput, Terminated
from kdray.redact import without_passwords

log = logging.getLogger(__name__)

# Set only where the user has set nothing; each has a reason that was measured.
ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",  # one report per poll: the default of 2 s throttles short epochs
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # otherwise a worker's lines appear twice
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # slow and autoscaled machines
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths stay what they are
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # else Tune prints a table of its own, also at verbosity 0
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # one line says it, and the report
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, not only the search before the confirmation
    "RAY_DATA_USE_DATASOURCE_V2": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",  # progress lines look alike and must not be swallowed
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
STARTS = 3
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^\s:/\[\]]+):(\d{1,5})")
ANSWER_SECONDS = 10.0
LOCAL_ENVIRONMENT = {"RAY_AUTH_MODE": "disabled"}  # loopback only; clusters set `token` in their YAML


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
def session(address: str | None) -> Generator[Session]:
    """Connect to the cluster at `address` (`auto`: the one this machine belongs to), or start a local one.

    What was started here is stopped at the end; a cluster that was there is left alone.

    Raises:
        BadInput: There is no cluster at `address`.
    """
    for key, value in (ENVIRONMENT | ({} if address else LOCAL_ENVIRONMENT)).items():
        os.environ.setdefault(key, value)
    import ray

    was_there = ray.is_initialized()
    if not was_there:
        _connect(address)
    _count_here()
    for noisy in ("ray.train", "ray.tune"):  # importing ray.data undoes it, so `OnRay.map` quiets that one
        logging.getLogger(noisy).setLevel(logging.ERROR)
    terminated = _end_on_sigterm()
    try:
        yield _describe()
    except KeyboardInterrupt:
        if terminated.is_set():  # Ray turns what a handler raises inside its calls into a plain KeyboardInterrupt
            raise Terminated from None
        raise
    finally:
        if not was_there:
            meters.install(None)
            ray.shutdown()


def check_address(address: str | None) -> None:
    """Refuse at once what Ray would try to reach for minutes.

    Raises:
        BadInput: It is no address of a cluster, or nothing listens there.
    """
    if address in (None, "auto", "local"):
        return
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise BadInput(
            f"--address {address}: give HOST:PORT of a Ray cluster's head (its port is 6379 unless it was started with "
            "another), or auto for the cluster that this machine belongs to."
        )
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise BadInput(f"--address {address}: nothing answers there ({error}).") from None


def _count_here() -> None:
    """This process's numbers go to Ray too; its log is whatever the command made of it."""
    from kdray.on_ray.metrics import RayMetrics

    meters.install(RayMetrics())


def living_nodes() -> int:
    import ray

    return sum(1 for node in ray.nodes() if node["Alive"])


def _connect(address: str | None) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    check_address(address)
    _tell_no_passwords()
    setup = {"worker_process_setup_hook": "kdray.on_ray.metrics.set_up"}
    try:
        if address:
            ray.init(address=address, namespace="kdray", runtime_env=setup, logging_level=logging.ERROR)
        else:
            start_local(setup)
    except (ConnectionError, RuntimeError, AuthenticationError) as error:
        if not address:
            raise
        mode, said = os.environ.get("RAY_AUTH_MODE", "disabled"), str(error).splitlines()[0].partition(". ")[0]
        raise BadInput(
            f"--address {address}: no Ray cluster lets this command in ({said}). If it was "
            "started with token authentication, set RAY_AUTH_MODE=token and give the token in RAY_AUTH_TOKEN, "
            f"RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token; the mode is {mode} now."
        ) from None


def _tell_no_passwords() -> None:
    """Ray shows this process's command line in its list of jobs."""
    import ray

    private = ray._private.utils  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    command = without_passwords(private.get_entrypoint_name())
    private.get_entrypoint_name = lambda: command


def start_local(setup: dict[str, str]) -> None:
    """A local Ray. It gives up after 30 s, which a busy machine may need: then once more, and a last time."""
    import ray

    for left in reversed(range(STARTS)):
        try:
            ray.init(
                address="local",  # also beside a cluster of this machine, which `auto` would be
                namespace="kdray",
                runtime_env=setup,
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                object_store_memory=400_000_000,
                logging_level=logging.ERROR,
            )
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise
            log.warning("Ray did not start within 30 s, the machine is busy; trying again")
            ray.shutdown()
        else:
            return


def _end_on_sigterm() -> threading.Event:
    """SIGTERM, which schedulers and `kill` send, ends a command as Ctrl-C does; Ray's own handler would abort it.

    Returns:
        Set once the signal has come.
    """
    arrived = threading.Event()

    def end(signum: int, frame: object) -> None:
        arrived.set()
        raise Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
    return arrived


def _describe() -> Session:
    import ray

    resources = ray.cluster_resources()
    url = ray._private.worker.get_dashboard_url()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    nodes = living_nodes()
    found = Session(f"http://{url}" if url else None, resources.get("CPU", 0.0), resources.get("GPU", 0.0), nodes)
    log.info(
        "Ray: %d node(s), %g CPUs, %g GPUs; dashboard %s",
        nodes,
        found.cpus,
        found.gpus,
        found.dashboard or "not running",
    )
    return found
