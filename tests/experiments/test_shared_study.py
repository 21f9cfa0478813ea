"""Several drivers on one study in a real PostgreSQL: no trial twice, none too many, none lost with its driver."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import postgres
import pytest
from commands import sweep_command
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from kdray import retries
from kdray.errors import RunError
from kdray.experiments import study as study_module
from kdray.experiments.reported import BUDGET, VALUE
from kdray.experiments.study import open_study
from kdray.tuning.searcher import StudySearcher

pytestmark = pytest.mark.slow

ASKED = 24
EPOCHS = 2
START = {"label": "defaults", "params": {"x": 0.5}}


def space(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0, 1)}


def drive(url: str, name: str, folder: Path, log: Path, seconds: float, together: Any = None) -> None:
    """One driver: asks, trains for a moment, tells; every trial it starts or ends is a line of its log.

    With a barrier in `together` it first waits until the others have loaded what it loads: a process takes longer to
    start than all the trials take.
    """
    if together is not None:
        together.wait(120)
    study_module.HEARTBEAT_SECONDS, study_module.GRACE_SECONDS = 1, 3
    sweep_study = open_study(url, name=name, folder=folder, starts=[START])
    with closing(sweep_study), sweep_study.lock_driver(), log.open("a", buffering=1) as said:
        deadline = time.monotonic() + 90
        while len(sweep_study.finished_trials()) < ASKED and time.monotonic() < deadline:
            asking = StudySearcher(sweep_study, space, seed=0, total=ASKED, full_budget=EPOCHS + 1)
            while isinstance(config := asking.suggest("t"), dict):
                print(json.dumps(["starts", config["number"]]), file=said)
                time.sleep(seconds)
                end = {"digest": "d", "test": 0, "epochs": 2, "latency": 1.0, "parameters": 1}
                result = {VALUE: config["overrides"]["x"], BUDGET: EPOCHS + 1, **end}
                asking.on_trial_complete("t", result)
                print(json.dumps(["ends", config["number"]]), file=said)
            time.sleep(0.2)


def lines(log: Path) -> list[list[Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def found(url: str, name: str, folder: Path) -> tuple[list[Any], list[Any]]:
    """The trials that count and have ended, and all there are."""
    with closing(open_study(url, name=name, folder=folder, starts=[START])) as sweep_study:
        return sweep_study.finished_trials(), sweep_study.study.trials


def started(url: str, name: str, folder: Path, log: Path, seconds: float, together: Any = None) -> Any:
    given = (url, name, folder, log, seconds, together)
    process = multiprocessing.get_context("spawn").Process(target=drive, args=given)
    process.start()
    return process


def test_two_drivers_share_the_trials(url: str, tmp_path: Path) -> None:
    logs = [tmp_path / "a", tmp_path / "b"]
    together = multiprocessing.get_context("spawn").Barrier(2)
    drivers = [started(url, "two", tmp_path, log, 0.05, together) for log in logs]
    for driver in drivers:
        driver.join(120)
        assert driver.exitcode == 0
    ended, _ = found(url, "two", tmp_path)
    assert [trial.state.name for trial in ended] == ["COMPLETE"] * ASKED
    assert ended[0].user_attrs["label"] == "defaults"
    assert [trial.user_attrs.get("label") for trial in ended].count("defaults") == 1  # one driver made the study
    numbers = [[number for what, number in lines(log) if what == "ends"] for log in logs]
    assert sorted(numbers[0] + numbers[1]) == sorted(trial.number for trial in ended)
    assert all(numbers), "one of the drivers had nothing to do, so nothing was shared"


def test_one_driver_at_a_time_claims(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the lock of the database: without a folder, as for a sweep in a bucket."""
    monkeypatch.setattr(study_module, "LOCK_SECONDS", 1)
    with (
        closing(open_study(url, name="claim", folder=None, starts=[START])) as sweep_study,
        closing(open_study(url, name="other", folder=None, starts=[START])) as other,
        study_module._alone(sweep_study._storage, "claim", None),
    ):
        assert other.adopt_orphans() == []  # another sweep has a lock of its own
        with pytest.raises(RunError, match="sweep 'claim': another driver holds its lock"):
            sweep_study.adopt_orphans()


def test_a_trial_whose_driver_died_before_its_first_sign_of_life_is_taken_over(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_study(url, name="silent", folder=None, starts=[START])) as sweep_study:
        with study_module._own_heartbeats():
            sweep_study.study.ask()  # and no heartbeat
        assert sweep_study.adopt_orphans() == []
        monkeypatch.setattr(study_module, "HEARTBEAT_SECONDS", 0.1)
        monkeypatch.setattr(study_module, "GRACE_SECONDS", 0)
        assert [trial.number for trial in sweep_study.adopt_orphans()] == [0]
        assert sweep_study.adopt_orphans() == []  # it is claimed now


def test_another_driver_resumes_the_trial_of_a_dead_one(url: str, tmp_path: Path) -> None:
    log, other = tmp_path / "dies", tmp_path / "lives"
    dying = started(url, "dies", tmp_path, log, 1000)
    while not lines(log):
        time.sleep(0.1)
        assert dying.is_alive()
    os.kill(dying.pid, signal.SIGKILL)
    dying.join()
    living = started(url, "dies", tmp_path, other, 0.02)
    living.join(120)
    assert living.exitcode == 0
    assert lines(log) == [["starts", 0]]
    assert ["ends", 0] in lines(other)
    ended, every = found(url, "dies", tmp_path)
    assert len(ended) == ASKED
    assert [trial.number for trial in every if trial.state.name == "RUNNING"] == []


def test_a_driver_waits_for_a_server_that_is_started_again(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each question of a trial's life is asked first while the server is away."""
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0.1)
    with closing(open_study(url, name="away", folder=None, starts=[])) as sweep_study:
        asking = StudySearcher(sweep_study, space, seed=0, total=3, full_budget=EPOCHS + 1)
        config = asking_meanwhile(url, lambda: asking.suggest("t"))
        assert config["number"] == 0
        assert not asking_meanwhile(url, lambda: asking.should_stop("t", {VALUE: 0.5, BUDGET: 1}))
        end = {"digest": "d", "test": 0, "epochs": 2, "latency": 1.0, "parameters": 1}
        result = {VALUE: 0.75, BUDGET: EPOCHS + 1, **end}
        asking_meanwhile(url, lambda: asking.on_trial_complete("t", result))
        assert asking_meanwhile(url, sweep_study.adopt_orphans) == []
        (trial,) = sweep_study.study.trials
        assert (trial.state.name, trial.value, trial.intermediate_values) == ("COMPLETE", 0.75, {1: 0.5})
    assert caplog.text.count("does not answer; waiting") >= 4


def test_a_trial_that_was_silent_because_the_server_was_away_keeps_its_driver(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(study_module, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(study_module, "GRACE_SECONDS", 3)
    with (
        closing(open_study(url, name="keeps", folder=None, starts=[START])) as sweep_study,
        closing(open_study(url, name="keeps", folder=None, starts=[START])) as other,
        sweep_study.lock_driver(),
    ):
        assert sweep_study.ask(total=1) is not None
        with postgres.away(url):
            time.sleep(4)
        assert other.adopt_orphans() == []


def test_a_driver_does_not_wait_for_ever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(retries, "PATIENCE_SECONDS", 0.5)
    with (
        closing(open_study(url, name="gone", folder=None, starts=[])) as sweep_study,
        postgres.away(url),
        pytest.raises((OperationalError, StorageInternalError)),
    ):
        sweep_study.study.get_trials()


def asking_meanwhile(url: str, question: Callable[[], Any]) -> Any:
    """The answer to what was asked while the server was away, which comes back a second later."""
    with ThreadPoolExecutor(1) as pool:
        with postgres.away(url):
            asked = pool.submit(question)
            time.sleep(1)
            assert not asked.done()
        return asked.result(30)


@pytest.mark.ray
@pytest.mark.soak
def test_a_second_driver_joins_a_sweep(url: str, tiny_encoder: Path, tmp_path: Path) -> None:
    """By the commands: one sweep over one store and one database, driven twice at the same time."""
    store = tmp_path / "store"
    command = sweep_command(store, tiny_encoder, "--storage", url)
    drivers = [command_started(command, tmp_path / "a")]
    try:
        end = time.monotonic() + 300
        while not (store / "sweeps" / "s").exists():
            assert drivers[0].poll() is None, (tmp_path / "a").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        drivers.append(command_started([*command, "--resume"], tmp_path / "b"))
        codes = [driver.wait(600) for driver in drivers]
    finally:
        for driver in drivers:
            driver.kill()
    said = [(tmp_path / log).read_text() for log in ("a", "b")]
    assert codes == [0, 0], said
    document = json.loads((store / "sweeps" / "s" / "result.json").read_text())
    assert sorted(trial["number"] for trial in document["trials"]) == [0, 1, 2, 3]
    starts = [line for text in said for line in text.splitlines() if re.search(r"trial \d+ starts: ", line)]
    assert len(starts) == 4, starts


def command_started(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("w") as out:
        return subprocess.Popen(command, env={**os.environ, "KDRAY_DATA": ""}, stdout=out, stderr=out)
