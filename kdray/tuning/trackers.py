"""Where a search's trials are followed in addition to its report: TensorBoard, MLflow or Weights & Biases."""

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from kdray.errors import ConfigError
from kdray.experiments.settings import Tracker

if TYPE_CHECKING:  # flags are checked before Ray is loaded
    from ray.tune.logger import LoggerCallback

TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
EXPERIMENT = "kdray"  # project of Weights & Biases
MLFLOW = "MLFLOW_TRACKING_URI"
_MODULES: dict[Tracker, str] = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


def trackers_of(given: str | None, *, on_disk: bool = True) -> tuple[Tracker, ...]:
    """The trackers that a flag names, with commas between.

    Args:
        on_disk: The store is a folder, which can hold MLflow's database.

    Raises:
        ConfigError: One is unknown, its package is missing, MLflow has no place, or Weights & Biases has no API key.
    """
    names = tuple(given.split(",")) if given else ()
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"--track {name}: choose from {', '.join(TRACKERS)}, with commas between.")
        if importlib.util.find_spec(_MODULES[name]) is None:
            raise ConfigError(f"--track {name} needs a package that is missing: pip install 'kdray[{name}]'.")
    if "mlflow" in names and not on_disk and MLFLOW not in os.environ:
        raise ConfigError(f"--track mlflow with a store in a bucket needs a server: set {MLFLOW}.")
    if "wandb" in names and not _is_wandb_ready():
        raise ConfigError(
            "--track wandb: there is no API key; run wandb login, or set WANDB_API_KEY or WANDB_MODE=offline."
        )
    return names  # pyright: ignore[reportReturnType] - each is one of TRACKERS


def callbacks(trackers: Sequence[Tracker], *, sweep: str, folder: Path | None) -> "list[LoggerCallback]":
    """What Tune calls as trials go on.

    Args:
        sweep: Names the MLflow experiment, and the group of runs at Weights & Biases.
        folder: Of the sweep. Runs of Weights & Biases are kept in it, and without `MLFLOW_TRACKING_URI` a database
            of MLflow. With None, which is a sweep in a bucket, W&B keeps its runs where it does by itself.
    """
    makers: dict[Tracker, Callable[[], LoggerCallback]] = {
        "tensorboard": _tensorboard,
        "mlflow": lambda: _mlflow(sweep, folder),
        "wandb": lambda: _wandb(sweep, folder),
    }
    return [makers[name]() for name in trackers]


def _tensorboard() -> "LoggerCallback":
    from ray.tune.logger import TBXLoggerCallback

    return TBXLoggerCallback()


def _mlflow(sweep: str, folder: Path | None) -> "LoggerCallback":
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    return MLflowLoggerCallback(
        tracking_uri=os.environ.get(MLFLOW, f"sqlite:///{folder}/mlflow.db"),
        experiment_name=f"{EXPERIMENT}/{sweep}",
    )


def _wandb(sweep: str, folder: Path | None) -> "LoggerCallback":
    from ray.air.integrations.wandb import WandbLoggerCallback

    where = None if folder is None else str(folder)
    return WandbLoggerCallback(project=EXPERIMENT, group=sweep, excludes=["history"], dir=where, mode=_wandb_mode())


def _wandb_mode() -> str | None:
    """Passed to each run, whose process may be older than this one's variables."""
    return os.environ.get("WANDB_MODE")


def _is_wandb_ready() -> bool:
    import wandb

    return _wandb_mode() in ("offline", "disabled") or bool(wandb.api.api_key)
