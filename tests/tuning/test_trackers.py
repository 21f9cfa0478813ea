"""Trials as TensorBoard, MLflow and Weights & Biases get them, from a real search of Tune's; offline."""

import importlib.util
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from kdray.errors import ConfigError
from kdray.tuning.trackers import TRACKERS, callbacks, trackers_of

CONFIG = {"number": 3, "overrides": {"method.name": "kd", "train.learning_rate": 1e-3}}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's and W&B's own use of their libraries
def test_every_tracker_gets_settings_and_scores(
    ray_session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def two_epochs(config: dict[str, Any]) -> None:
        for value in (0.5, 0.75):
            tune.report({"value": value, "history": [{"epoch": 1}]})

    tune.Tuner(
        two_epochs,
        param_space=CONFIG,
        run_config=tune.RunConfig(
            name="s",
            storage_path=str(tmp_path / "ray"),
            verbose=0,
            callbacks=[*callbacks(TRACKERS, sweep="s", folder=tmp_path)],
        ),
    ).fit()

    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        scores = database.execute("select value from metrics where key = 'value' order by step").fetchall()
        params = dict(database.execute("select key, value from params").fetchall())
        experiments = [name for (name,) in database.execute("select name from experiments").fetchall()]
    assert scores == [(0.5,), (0.75,)]
    assert params == {"number": "3", "overrides/method.name": "kd", "overrides/train.learning_rate": "0.001"}
    assert "kdray/s" in experiments

    (run,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    end = time.monotonic() + 60  # its own process writes it
    while time.monotonic() < end and not (b"train.learning_rate" in run.read_bytes() and b"0.75" in run.read_bytes()):
        time.sleep(0.2)
    assert b"train.learning_rate" in run.read_bytes()
    assert b"0.75" in run.read_bytes()

    (events,) = (tmp_path / "ray").rglob("events.out.tfevents.*")
    assert b"ray/tune/value" in events.read_bytes()


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(ConfigError, match="--track mlfow: choose from tensorboard, mlflow, wandb, with commas between"):
        trackers_of("tensorboard,mlfow")


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType]
    with pytest.raises(
        ConfigError, match=r"--track wandb needs a package that is missing: pip install 'kdray\[wandb\]'"
    ):
        trackers_of("wandb")


def test_weights_and_biases_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="there is no API key; run wandb login, or set WANDB_API_KEY or WANDB_MODE"):
        trackers_of("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert trackers_of("wandb") == ("wandb",)


def test_no_flag_is_no_tracker() -> None:
    assert trackers_of(None) == ()
