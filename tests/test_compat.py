"""Each patch of another library: what it does, and that the library still needs it. No Ray is started."""

import ast
import importlib
import inspect
import io
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import psutil
import pytest
import ray
import torch
from ray._private import ray_constants, services, utils, worker
from ray._raylet import get_authentication_mode  # pyright: ignore[reportAttributeAccessIssue]
from ray.train import FailureConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.torch.config import _TorchBackend  # pyright: ignore[reportPrivateUsage]
from ray.train.v2._internal.execution import context as train_context
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy, FailureDecision
from ray.train.v2._internal.state import util as train_state
from ray.train.v2.api import data_parallel_trainer
from ray.train.v2.api.exceptions import WorkerGroupError
from ray.tune.execution import class_cache

from kdray import compat
from kdray.secrets import without_passwords

PACKAGE = Path(compat.__file__).parent


def test_private_names_of_other_packages_are_imported_in_compat_only() -> None:
    found: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "compat.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    imported = [each.name for each in names]
                case ast.ImportFrom(module=str(module), names=names):
                    imported = [f"{module}.{each.name}" for each in names]
                case _:
                    continue
            private = [name for name in imported if any(part.startswith("_") for part in name.split(".")[1:])]
            found += [f"{path.name}: {name}" for name in private if not name.startswith(("kdray", "torch.nn.modules"))]
    assert found == []
    text = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert text.count("reportPrivateUsage") == 1, "pyright checks it everywhere but in compat.py"


# Ray: the session


def test_ray_still_reads_each_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(ray.__file__).parent
    folders = ("_private", "_common", "air", "data", "train", "tune")
    source = "".join(path.read_text() for folder in folders for path in (root / folder).rglob("*.py"))
    switches = {name for name in compat.RAY_SWITCHES if name != "TOKENIZERS_PARALLELISM"}
    assert {name for name in (*switches, compat.LOOPBACK_SWITCH) if name not in source} == set()
    for name in compat.RAY_SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_DEDUP_LOGS", "1")
    compat.set_ray_switches()
    assert {name: os.environ[name] for name in compat.RAY_SWITCHES} == compat.RAY_SWITCHES | {"RAY_DEDUP_LOGS": "1"}


@pytest.mark.parametrize("given", [None, "1"])
@pytest.mark.parametrize("terminals", [(), ("stdout",), ("stdout", "stderr")])
def test_lines_of_workers_have_colors_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, terminals: tuple[str, ...], given: str | None
) -> None:
    monkeypatch.setenv(compat.COLORS, "")
    monkeypatch.delenv(compat.COLORS)
    written: dict[str, io.StringIO] = {}
    for name in ("stdout", "stderr"):
        written[name] = io.StringIO()
        monkeypatch.setattr(written[name], "isatty", lambda name=name: name in terminals)
        monkeypatch.setattr(sys, name, written[name])
    if given:
        monkeypatch.setenv(compat.COLORS, given)
    compat.set_ray_switches()
    worker.print_worker_logs({"pid": 7, "ip": "a", "localhost": "a", "lines": ["epoch 1"]}, written["stderr"])
    assert written["stderr"].getvalue().replace("\x1b[36m", "").replace("\x1b[35m", "").count("(pid=7)") == 1
    has_colors = "\x1b" in written["stderr"].getvalue()
    assert has_colors == (given == "1" or len(terminals) == 2)


def test_auto_means_the_address_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    assert compat.address_of_auto() == "192.0.2.1:6379"


def test_ray_does_not_see_a_later_change_of_the_loopback_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compat.LOOPBACK_SWITCH, "0")
    assert ray_constants.ENABLE_RAY_CLUSTER
    with compat.loopback_only():
        assert not ray_constants.ENABLE_RAY_CLUSTER
    assert ray_constants.ENABLE_RAY_CLUSTER


def test_ray_does_not_see_a_later_change_of_the_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    before = get_authentication_mode()
    with monkeypatch.context() as changed:
        changed.setenv("RAY_AUTH_MODE", "disabled" if before else "token")
        assert get_authentication_mode() == before
        compat.reread_authentication()
        assert get_authentication_mode() != before
    compat.reread_authentication()
    assert get_authentication_mode() == before


def test_ray_has_no_public_name_for_the_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "get_dashboard_url", lambda: "127.0.0.1:8265")
    assert compat.dashboard_url() == "127.0.0.1:8265"
    monkeypatch.setattr(worker, "get_dashboard_url", lambda: "")
    assert compat.dashboard_url() is None
    assert [
        name for place in (ray, ray.runtime_context.RuntimeContext) for name in dir(place) if "dashboard_" in name
    ] == []


def test_ray_lists_the_command_line_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "entrypoint=ray._private.utils.get_entrypoint_name()" in inspect.getsource(worker.init)
    monkeypatch.setattr(utils, "get_entrypoint_name", lambda: "tune --storage postgresql://me:secret@host/db")
    compat.change_shown_command(without_passwords)
    assert utils.get_entrypoint_name() == "tune --storage postgresql://me:***@host/db"


def test_ray_logs_why_a_dashboard_did_not_start() -> None:
    assert services.logger.name == "ray._private.services"
    assert "logger.error(" in inspect.getsource(services.start_api_server)
    compat.silence_start()
    assert not services.logger.isEnabledFor(logging.ERROR)


def test_ray_chooses_its_folder_by_a_private_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/somewhere")
    assert compat.ray_folder() == "/somewhere/ray"
    assert "temp_dir" not in inspect.signature(ray.init).parameters


def test_the_cleaner_of_trainings_names_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "address" not in inspect.getsource(train_state.is_actor_alive)
    monkeypatch.setenv("RAY_ADDRESS", "another")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="127.0.0.1:6379"))
    compat.name_own_cluster()
    assert os.environ["RAY_ADDRESS"] == "127.0.0.1:6379"


# Ray Train


def listening(make: Callable[..., Any]) -> set[str]:
    """Addresses at which a store that `make` makes listens in this process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = make("127.0.0.1", port, 0, 1, timedelta(seconds=30))
    found = [each for each in psutil.Process().net_connections(kind="tcp") if each.status == psutil.CONN_LISTEN]
    del store
    return {each.laddr.ip for each in found if each.laddr.port == port}


def test_the_store_of_a_process_group_listens_everywhere_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    rendezvous: Any = importlib.import_module("torch.distributed.rendezvous")
    monkeypatch.setattr(rendezvous, "_create_c10d_store", rendezvous._create_c10d_store)  # restores it
    assert listening(rendezvous._create_c10d_store) - {"127.0.0.1"}
    compat.listen_on_one_address()
    assert listening(rendezvous._create_c10d_store) == {"127.0.0.1"}


GROUP = """
import psutil
import torch.distributed
from kdray import compat

compat.listen_on_one_address()
torch.distributed.init_process_group("gloo", init_method="env://")
torch.distributed.barrier()
for found in psutil.Process().net_connections(kind="tcp"):
    if found.status == psutil.CONN_LISTEN:
        print(found.laddr.port, found.laddr.ip)
"""


def test_ranks_meet_at_a_store_that_listens_on_one_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", GROUP], env={**os.environ, **group, "RANK": rank}, stdout=-1, text=True)
        for rank in ("0", "1")
    ]
    shown = [rank.communicate(timeout=300)[0].splitlines() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert f"{port} 127.0.0.1" in shown[0], shown
    assert all(line.endswith(" 127.0.0.1") for line in shown[0] + shown[1]), shown


def test_every_worker_gets_that_store_before_its_group_is_made() -> None:
    class First(Exception):
        pass

    def execute(function: Any, *given: Any) -> None:
        raise First(function.__name__)

    config = compat.torch_config(timeout_s=600)
    assert config.timeout_s == 600
    assert issubclass(config.backend_cls, _TorchBackend)
    with pytest.raises(First, match="listen_on_one_address"):
        config.backend_cls().on_start(SimpleNamespace(execute=execute), config)


def trainer() -> Any:
    return compat.trainer_class("teach_rte", lambda failures: True)(print, scaling_config=ScalingConfig(num_workers=1))


@pytest.mark.parametrize("url", [None, "127.0.0.1:8265"])
def test_the_token_goes_to_no_other_program_in_place_of_the_dashboard(
    monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    """Ray's cleaner of placement groups sends requests to port 8265 where the session has no dashboard."""
    monkeypatch.setattr(worker, "get_dashboard_url", lambda: url)
    plain: Any = TorchTrainer(print, scaling_config=ScalingConfig(num_workers=1))
    needed = [type(callback).__name__ for callback in plain._create_default_callbacks()]
    assert "PlacementGroupCleanerCallback" in needed
    names = [type(callback).__name__ for callback in trainer()._create_default_callbacks()]
    assert "BackendSetupCallback" in names
    assert ("PlacementGroupCleanerCallback" in names) is bool(url)


def test_a_training_leaves_ctrl_c_to_the_command() -> None:
    before = signal.getsignal(signal.SIGINT)
    plain: Any = TorchTrainer(print, scaling_config=ScalingConfig(num_workers=1))
    try:
        plain._register_sigint_handler(None)
        assert signal.getsignal(signal.SIGINT) is not before
    finally:
        signal.signal(signal.SIGINT, before)
    trainer()._register_sigint_handler(None)
    assert signal.getsignal(signal.SIGINT) is before


def test_actors_of_a_training_bear_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def run(self: Any, **given: Any) -> None:
        made.append((data_parallel_trainer.TrainController, given["failure_policy"]))

    before = data_parallel_trainer.TrainController
    base = data_parallel_trainer.DataParallelTrainer
    assert "(TrainController)" in inspect.getsource(base._initialize_and_run_controller)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(base, "_initialize_and_run_controller", run)
    trainer()._initialize_and_run_controller()
    controller, policy = made[0]
    assert controller.__name__ == "teach_rte"
    assert controller.worker_group_cls._worker_cls.__name__ == "teach_rte_worker"
    assert isinstance(policy, DefaultFailurePolicy)
    assert data_parallel_trainer.TrainController is before


def test_ray_retries_errors_that_would_only_come_again() -> None:
    error = WorkerGroupError("text", {0: ValueError("x")})
    assert DefaultFailurePolicy(FailureConfig(max_failures=1)).make_decision(error) is FailureDecision.RETRY
    for can_help, decision in ((True, FailureDecision.RETRY), (False, FailureDecision.RAISE)):
        policy = compat.failure_policy(FailureConfig(max_failures=1), lambda failures, can_help=can_help: can_help)
        assert policy.make_decision(error) is decision


def test_a_logger_of_ray_train_has_the_name_of_its_file() -> None:
    assert train_context.logger.name == train_context.__file__
    compat.silence_train_worker()
    assert train_context.logger.level == logging.WARNING


# Ray Tune


def test_tune_would_hand_secrets_to_trials() -> None:
    from kdray.tuning.tune import SECRETS

    source = inspect.getsource(class_cache)
    assert all(f'"{name}"' in source for name in SECRETS)
    assert not class_cache.ENV_VARS_TO_PROPAGATE.intersection(SECRETS)
    assert class_cache.ENV_VARS_TO_PROPAGATE


# Optuna


def test_optuna_has_no_public_names_for_ids_databases_and_silent_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db", study_name="s")
    trial = study.ask()
    database = compat.database_of(study)
    assert isinstance(database, optuna.storages.RDBStorage)
    assert database.get_trial(compat.trial_id(trial)).number == trial.number
    assert compat.trial_id(trial) == compat.trial_id(study.trials[0])
    monkeypatch.setattr(database, "heartbeat_interval", 10)
    assert compat.silent_trials(study) == []
    public = {name for kind in (optuna.Trial, optuna.trial.FrozenTrial, optuna.Study) for name in dir(kind)}
    assert not {"trial_id", "id", "storage", "study_id"} & public
    stale = [name for place in (optuna.storages, optuna.storages.RDBStorage) for name in dir(place) if "stale" in name]
    assert {name for name in stale if name[0] != "_" and "callback" not in name} == {"fail_stale_trials"}
    database.remove_session()
    database.engine.dispose()


def test_optunas_database_repeats_no_call_by_itself(tmp_path: Path) -> None:
    called: list[str] = []

    def repeat(call: Callable[..., Any]) -> Callable[..., Any]:
        def repeated(*given: Any, **more: Any) -> Any:
            called.append(call.__name__)
            return call(*given, **more)

        return repeated

    assert "retr" not in " ".join(inspect.signature(optuna.storages.RDBStorage).parameters)
    database = compat.storage_class(repeat)(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(storage=database, study_name="s")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, step=1)
    study.tell(trial, 0.5)
    assert {"create_new_study", "_create_new_trial", "_set_trial_param", "set_trial_state_values"} <= set(called)
    assert set(called) <= set(compat.STORAGE_CALLS)
    database.remove_session()
    database.engine.dispose()


# torch


@pytest.mark.parametrize("has_units", [True, False])
def test_torch_has_no_public_name_for_matrix_units(monkeypatch: pytest.MonkeyPatch, has_units: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_units)
    assert compat.has_amx() is has_units
    assert [name for name in dir(torch.cpu) if "amx" in name and name[0] != "_"] == []


@pytest.mark.parametrize("has_instructions", [True, False])
def test_torch_has_no_public_name_for_bf16_instructions(
    monkeypatch: pytest.MonkeyPatch, has_instructions: bool
) -> None:
    monkeypatch.setattr(compat, "has_amx", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "flags : avx512_bf16")
    assert compat.has_bf16_instructions() is has_instructions
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "Features : fp asimd bf16")
    assert compat.has_bf16_instructions()
    assert [name for name in dir(torch.cpu) if "bf16" in name and name[0] != "_"] == []


@pytest.mark.parametrize(("capability", "found"), [("AVX512", "AVX512,STRICT"), ("AVX2", None)])
def test_sums_keep_their_order_on_processors_where_they_would_not(
    monkeypatch: pytest.MonkeyPatch, capability: str, found: str | None
) -> None:
    """Not every processor with AVX512 shows the fault, so no test can tell when MKL no longer has it."""
    monkeypatch.delenv("MKL_CBWR", raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    compat.keep_order_of_sums()
    assert os.environ.get("MKL_CBWR") == found
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    compat.keep_order_of_sums()
    assert os.environ["MKL_CBWR"] == "AVX2"


def test_torch_keeps_the_kernel_of_an_lstm_while_another_is_registered() -> None:
    from torch._dispatch.python import enable_python_dispatcher
    from torch.export._patches import register_lstm_while_loop_decomposition

    with enable_python_dispatcher(), torch.no_grad():  # as a traced graph is read
        torch.nn.LSTM(2, 2)(torch.zeros(3, 2, 2))
    kernels = torch.ops.aten.lstm.input._dispatch_cache
    with register_lstm_while_loop_decomposition():
        assert "lstm_impl" in [getattr(kernel, "__name__", "") for kernel in kernels.values()]
    compat.forget_lstm_kernel()
    assert not kernels
