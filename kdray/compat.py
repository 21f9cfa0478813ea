# pyright: reportPrivateUsage=false, reportAttributeAccessIssue=false
"""Every use of the internals of Ray, Optuna and torch, one short function each.

`tests/test_compat.py` has a test for each, which fails when the function is no longer needed. The libraries are
imported inside the functions: this module is below all others, and a command that needs no Ray loads none.
"""

import importlib
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    import optuna
    from ray.train.torch import TorchConfig, TorchTrainer

LOOPBACK_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # 0: every server of Ray listens on loopback only, on Linux too
CORE_LEVEL = "RAY_BACKEND_LOG_LEVEL"  # of the lines of Ray's C++ core
COLORS = "RAY_COLOR_PREFIX"  # 0: none around the name of the worker before its lines
# Switches of Ray that no argument sets; each has a reason that was measured. What the user has set is kept.
RAY_SWITCHES = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",  # one report per poll: the default of 2 s throttles short epochs
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # otherwise a worker's lines appear twice
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # slow and autoscaled machines
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths stay what they are
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # else Tune prints a table of its own, also at verbosity 0
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the report and one line of the log have them
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, not only the search before the confirmation
    "RAY_DATA_USE_DATASOURCE_V2": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",  # progress lines look alike and must not be swallowed
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
# All that a sweep calls of Optuna's database.
STORAGE_CALLS = (
    "create_new_study",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "set_study_user_attr",
    "set_study_system_attr",
    "_create_new_trial",
    "_set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "_get_trials",
    "_get_best_trial_id",
    "get_trial_id_from_study_id_trial_number",
    "_get_stale_trial_ids",
)


# Ray: the session


def set_ray_switches() -> None:
    """Set the variables that Ray reads when it is imported, and one that it reads for each line of a worker."""
    for key, value in RAY_SWITCHES.items():
        os.environ.setdefault(key, value)
    if not all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr)):
        os.environ.setdefault(COLORS, "0")


@contextmanager
def loopback_only() -> Generator[None]:
    """Servers of a Ray that starts inside listen on loopback: Ray reads `LOOPBACK_SWITCH` once, at its import."""
    from ray._private import ray_constants

    with patch.object(ray_constants, "ENABLE_RAY_CLUSTER", False):
        yield


@contextmanager
def quiet_core() -> Generator[None]:
    """The C++ core of this process, which a local Ray connects inside, writes no errors to the terminal.

    Every process that reads the variable writes a line about it. So it is set for this process alone, after those of
    Ray have started, and standard error is closed while it is read. What the user has set is kept.
    """
    from ray._private import worker

    if CORE_LEVEL in os.environ:
        yield
        return
    connect = worker.connect

    def quietly(*args: Any, **kwargs: Any) -> Any:
        os.environ[CORE_LEVEL] = "fatal"  # this variable alone: the core's threads read the environment
        try:
            with without_stderr(shown_on_error=True):
                return connect(*args, **kwargs)
        finally:
            del os.environ[CORE_LEVEL]

    with patch.object(worker, "connect", quietly):
        yield


@contextmanager
def without_stderr(*, shown_on_error: bool) -> Generator[None]:
    """What C++ code writes there is left out, or shown only if an exception is raised."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            if shown_on_error:
                written.seek(0)
                os.write(kept, written.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def reread_authentication() -> None:
    """Ray reads mode and token of the environment once in a process; read them again."""
    from ray._raylet import AuthenticationTokenLoader, Config

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def refuses_token(address: str, *, seconds: float) -> bool:
    """Whether the head of a Ray cluster answers that the token of this process, or that it has none, is wrong; Ray's
    own client would try again for 20 s."""
    import grpc
    from ray._raylet import AuthenticationTokenLoader
    from ray.exceptions import AuthenticationError

    try:
        headers = AuthenticationTokenLoader.instance().get_token_for_http_header()
    except AuthenticationError:  # the environment names none
        headers = dict[str, str]()
    try:
        _check_alive(address, headers, seconds)
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.UNAUTHENTICATED
    return False


def address_of_auto() -> str:
    """The cluster that `auto` means; Ray's own client tries for 20 s to reach one that has ended.

    Raises:
        ConnectionError: There is none.
    """
    from ray._private.services import canonicalize_bootstrap_address_or_die

    return str(canonicalize_bootstrap_address_or_die("auto"))


def answers_without_token(address: str, *, seconds: float) -> bool:
    """Whether the head of a Ray cluster answers a call that has no token; Ray's own client always sends one."""
    import grpc

    try:
        _check_alive(address, {}, seconds)
    except grpc.RpcError:
        return False
    return True


def _check_alive(address: str, headers: Mapping[str, str], seconds: float) -> None:
    import grpc
    from ray.core.generated.gcs_service_pb2 import CheckAliveRequest
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

    with grpc.insecure_channel(address, (("grpc.enable_http_proxy", 0),)) as channel:
        stub = NodeInfoGcsServiceStub(channel)
        stub.CheckAlive(CheckAliveRequest(), timeout=seconds, metadata=tuple(headers.items()))


def dashboard_url() -> str | None:
    """Host and port of the dashboard of this process's cluster, where it has one."""
    from ray._private import worker

    return worker.get_dashboard_url() or None


def change_shown_command(change: Callable[[str], str]) -> None:
    """Ray shows this process's command line in its list of jobs: show `change` of it."""
    from ray._private import utils

    command = change(utils.get_entrypoint_name())
    utils.get_entrypoint_name = lambda: command


def silence_start() -> None:
    """Ray prints the log of a dashboard that did not start."""
    logging.getLogger("ray._private.services").setLevel(logging.CRITICAL)


def ray_folder() -> str:
    """Where Ray keeps its sockets unless it is given a folder."""
    from ray._common.utils import get_default_ray_temp_dir

    return get_default_ray_temp_dir()


def name_own_cluster() -> None:
    """Without an address Ray's state API takes the cluster that was started last on this machine; Train's cleaner gives
    it none, and would find a living training dead."""
    import ray

    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address


# Ray Train


def torch_config(*, timeout_s: int) -> "TorchConfig":
    """Of a training whose key-value store listens on the address of the first worker only.

    By default it listens on every address of the machine, and it has no authentication. Between nodes of a cluster, the
    store and the collectives are as open as their network.
    """
    from ray.train.torch import TorchConfig
    from ray.train.torch.config import _TorchBackend

    class Backend(_TorchBackend):
        def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
            worker_group.execute(listen_on_one_address)
            super().on_start(worker_group, backend_config)

    class PrivateTorchConfig(TorchConfig):
        @property
        def backend_cls(self) -> Any:
            return Backend

    return PrivateTorchConfig(timeout_s=timeout_s)


def listen_on_one_address() -> None:
    """The store of a process group that is made later in this process listens on its own address."""
    # an `import` would give the function of this name, which torch.distributed holds in place of the module
    vars(importlib.import_module("torch.distributed.rendezvous"))["_create_c10d_store"] = _private_store


def _private_store(
    hostname: str, port: int, rank: int, world_size: int, timeout: timedelta, use_libuv: bool = True
) -> Any:
    """The store of a process group; rank 0 serves it at `hostname`."""
    from torch.distributed import TCPStore

    listener: int | None = None
    if rank == 0:
        family = socket.AF_INET6 if ":" in hostname else socket.AF_INET
        listener = socket.create_server((hostname, port), family=family).detach()
    return TCPStore(
        hostname,
        port,
        world_size,
        rank == 0,
        timeout,
        multi_tenant=True,
        use_libuv=use_libuv,
        master_listen_fd=listener,
    )


def trainer_class(name: str, can_help: Callable[[Iterable[BaseException]], bool]) -> "type[TorchTrainer]":
    """Ray's trainer, with what it has no settings for.

    Args:
        name: Of its actors, which the dashboard shows.
        can_help: Whether another attempt can help after such errors of workers; Ray retries after every error.
    """
    from ray.train import FailureConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
    from ray.train.v2.api import data_parallel_trainer

    class Trainer(TorchTrainer):
        def _register_sigint_handler(self, controller: Any) -> None:
            """Ctrl-C ends the command as elsewhere; Ray's handler would end the process without a word, and stay."""

        def _create_default_callbacks(self) -> list[Any]:
            """Without a dashboard of its own, Ray's cleaner would send the token to whatever program has port 8265."""
            found: list[Any] = super()._create_default_callbacks()
            if dashboard_url():
                return found
            return [each for each in found if not isinstance(each, PlacementGroupCleanerCallback)]

        def _initialize_and_run_controller(self, **given: Any) -> Any:
            given["failure_policy"] = failure_policy(self.run_config.failure_config or FailureConfig(), can_help)
            with patch.object(data_parallel_trainer, "TrainController", _controller(name)):
                return super()._initialize_and_run_controller(**given)

    return Trainer


def failure_policy(config: Any, can_help: Callable[[Iterable[BaseException]], bool]) -> Any:
    """Ray's policy, without attempts that cannot help."""
    from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy, FailureDecision

    class RetryWhereItHelps(DefaultFailurePolicy):
        def make_decision(self, training_failed_error: Any) -> FailureDecision:
            failures = getattr(training_failed_error, "worker_failures", {})
            if failures and not can_help(failures.values()):
                return FailureDecision.RAISE
            return super().make_decision(training_failed_error)

    return RetryWhereItHelps(config)


def _controller(name: str) -> type:
    """Ray names actors by their classes."""
    from ray.train.v2._internal.execution.controller import TrainController
    from ray.train.v2._internal.execution.worker_group import WorkerGroup
    from ray.train.v2._internal.execution.worker_group.worker import RayTrainWorker

    worker = type(f"{name}_worker", (RayTrainWorker,), {})
    group = type("Group", (WorkerGroup,), {"_worker_cls": worker})
    return type(name, (TrainController,), {"worker_group_cls": group})


def silence_train_worker() -> None:
    """In a worker: the loop logs each epoch, and the driver shows the error of the loop."""
    from ray.train.v2._internal import util
    from ray.train.v2._internal.execution import context

    logging.getLogger(context.__file__).setLevel(logging.WARNING)  # named by its file, so no level of ray.train holds
    logging.getLogger(util.__name__).setLevel(logging.CRITICAL)


# Ray Tune


def keep_from_trials(variables: Collection[str]) -> None:
    """Tune writes variables that it hands to trials into logs that everybody may read, and into the list of actors."""
    from ray.tune.execution import class_cache

    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(variables)


# Optuna


def trial_id(trial: "optuna.Trial | optuna.trial.FrozenTrial") -> int:
    """The id of a trial in its database."""
    return trial._trial_id


def database_of(study: "optuna.Study") -> Any:
    """The `RDBStorage` of a study, under Optuna's cache."""
    return study._storage._backend


def silent_trials(study: "optuna.Study") -> list[int]:
    """Ids of the running trials whose heartbeats have stopped."""
    return database_of(study)._get_stale_trial_ids(study._study_id)


def storage_class(repeat: Callable[[Callable[..., Any]], Callable[..., Any]]) -> "type[optuna.storages.RDBStorage]":
    """Optuna's `RDBStorage` with `repeat` around each call of the database."""
    from optuna.storages import RDBStorage

    return type("RetryingStorage", (RDBStorage,), {name: repeat(getattr(RDBStorage, name)) for name in STORAGE_CALLS})


# torch


def has_amx() -> bool:
    """Whether the processor has units for matrices of bf16."""
    import torch

    return bool(torch.cpu._is_amx_tile_supported())


def has_bf16_instructions() -> bool:
    """Whether the processor multiplies bf16, as torch names it for x86; elsewhere by the system's list of features."""
    import torch

    if has_amx() or bool(torch.cpu._is_avx512_bf16_supported()):
        return True
    try:
        features = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "bf16" in features  # of ARM


def keep_order_of_sums() -> None:
    """On some processors MKL sums a row in an order that depends on the row's place in the batch, unless it is set not
    to. MKL reads it before its first product. Large products were measured to cost the same time."""
    import torch

    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        os.environ.setdefault("MKL_CBWR", "AVX512,STRICT")


def forget_lstm_kernel() -> None:
    """Drop the kernel of an LSTM that torch has kept from an earlier export. torch.onnx registers another one while it
    traces, but torch would still use the kept one, which fixes the number of tokens."""
    import torch

    torch.ops.aten.lstm.input._dispatch_cache.clear()
