"""ready.py requests GPUs, falls back from spot to on demand, holds what it has while a command runs, and lets it go."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "cluster/ready.py"
# A cluster that has what the file `present` says, and notes what is asked of it.
FAKE_RAY = """
import json, os, pathlib
folder = pathlib.Path(os.environ["FAKE"])
def init(**given):
    if os.environ.get("FAKE_ERROR"): raise ConnectionError(os.environ["FAKE_ERROR"])
    (folder / "address").write_text(given["address"])
def nodes(): return [{"Alive": True}, {"Alive": False}, {"Alive": True}]
def cluster_resources(): return json.loads((folder / "present").read_text())
def shutdown(): (folder / "closed").touch()
"""
FAKE_SDK = """
import json, os, pathlib
def request_resources(bundles):
    with (pathlib.Path(os.environ["FAKE"]) / "asked").open("a") as file:
        file.write(json.dumps(bundles) + "\\n")
"""
PATIENT = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""
SPOT, ON_DEMAND = {"GPU": 1, "spot": 1}, {"GPU": 1, "on_demand": 1}


@pytest.fixture(scope="module")
def ready() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ready", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_requests_plain_gpus_or_spot_ones(ready: ModuleType) -> None:
    assert ready.bundles(ready.first_request(2, spot_first=False)) == [{"GPU": 1}] * 2
    assert ready.bundles(ready.first_request(2, spot_first=True)) == [SPOT] * 2
    assert ready.bundles({"spot": 1, "on_demand": 2}) == [SPOT, ON_DEMAND, ON_DEMAND]


@pytest.mark.parametrize(
    ("asked", "present", "waited", "then"),
    [
        ({"spot": 4, "on_demand": 0}, {}, 599, {"spot": 4, "on_demand": 0}),  # patient
        ({"spot": 4, "on_demand": 0}, {"spot": 1}, 600, {"spot": 1, "on_demand": 3}),
        ({"spot": 4, "on_demand": 0}, {}, 600, {"spot": 0, "on_demand": 4}),
        ({"spot": 3, "on_demand": 1}, {"spot": 1, "on_demand": 1}, 600, {"spot": 1, "on_demand": 3}),  # two taken back
        ({"spot": 1, "on_demand": 3}, {"spot": 4}, 600, {"spot": 1, "on_demand": 3}),  # never more than were asked for
        ({"GPU": 4}, {"GPU": 1}, 6000, {"GPU": 4}),
    ],
)
def test_requests_on_demand_what_is_missing_after_a_time(
    ready: ModuleType, asked: Mapping[str, int], present: Mapping[str, float], waited: float, then: Mapping[str, int]
) -> None:
    assert ready.next_request(asked, present, waited=waited, patience=600) == then


def test_prints_what_is_missing(ready: ModuleType) -> None:
    assert ready.missing(3, {}, 2, {}) == "2 of 3 nodes"
    assert ready.missing(1, {"spot": 2, "on_demand": 1}, 1, {"spot": 1.0, "on_demand": 1.0}) == "GPUs: 1 of 2 spot"
    assert ready.missing(1, {"GPU": 2}, 1, {"GPU": 2.0}) is None


def start(folder: Path, present: Mapping[str, float], *arguments: str) -> subprocess.Popen[str]:
    package = folder / "packages/ray/autoscaler"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text(FAKE_RAY)
    (package / "__init__.py").touch()
    (package / "sdk.py").write_text(FAKE_SDK)
    (folder / "present").write_text(json.dumps(present))
    environment = {**os.environ, "FAKE": str(folder), "PYTHONPATH": str(folder / "packages")}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), "--poll", "0.02", *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


def end(process: subprocess.Popen[str], folder: Path) -> tuple[int, str, list[Any]]:
    """Exit code, what was said, and what the autoscaler was asked."""
    _, said = process.communicate(timeout=30)
    log = folder / "asked"
    asked = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    assert (folder / "closed").exists(), said
    return process.returncode, said, asked


def run(folder: Path, present: Mapping[str, float], arguments: Sequence[str]) -> tuple[int, str, list[Any]]:
    return end(start(folder, present, *arguments), folder)


def test_holds_gpus_while_the_command_runs_and_then_lets_them_go(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys, pathlib; pathlib.Path(sys.argv[1]).touch(); sys.exit(7)"]
    code, said, asked = run(tmp_path, {"GPU": 2}, ["--gpus", "2", "--", *command, str(tmp_path / "ran")])
    assert (code, asked) == (7, [[{"GPU": 1}] * 2, []]), said
    assert (tmp_path / "ran").exists()
    assert (tmp_path / "address").read_text() == "auto"


def test_runs_the_command_when_the_machines_have_come(tmp_path: Path) -> None:
    process = start(tmp_path, {"spot": 1}, "--gpus", "2", "--spot-first", "--patience", "0", "--", "true")
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "1 of 2 spot after" in said, said
    (tmp_path / "present").write_text('{"spot": 1, "on_demand": 1}')
    code, said, asked = end(process, tmp_path)
    assert (code, asked) == (0, [[SPOT, SPOT], [SPOT, ON_DEMAND], []]), said


def test_what_is_taken_back_is_requested_on_demand(tmp_path: Path) -> None:
    ran, done, gone = tmp_path / "ran", tmp_path / "done", tmp_path / "gone"
    waits = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\n"
    waits += "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.02)"
    command = [sys.executable, "-c", waits, str(ran), str(done)]
    process = start(tmp_path, {"spot": 1}, "--gpus", "1", "--spot-first", "--patience", "0", "--", *command)
    while not ran.exists():
        assert process.poll() is None
    gone.write_text("{}")
    gone.replace(tmp_path / "present")
    assert process.stderr is not None
    while "on demand" not in (said := process.stderr.readline()):
        assert said, "it ended without asking"
    done.touch()
    code, _, asked = end(process, tmp_path)
    assert (code, asked) == (0, [[SPOT], [ON_DEMAND], []]), said


def test_a_command_that_a_signal_ended_has_its_shells_exit_code(tmp_path: Path) -> None:
    code, _, _ = run(tmp_path, {}, ["--", "sh", "-c", "kill -9 $$"])
    assert code == 137


def test_a_missing_cluster_gives_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERROR", "Could not find any running Ray instance.\nmore")
    process = start(tmp_path, {}, "--nodes", "1")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert "Could not find any running Ray instance" in line


def test_gives_up_after_a_time_without_running_the_command(tmp_path: Path) -> None:
    code, said, asked = run(tmp_path, {}, ["--gpus", "1", "--timeout", "0", "--", "touch", str(tmp_path / "ran")])
    assert (code, asked) == (1, [[{"GPU": 1}], []])
    assert "gave up" in said
    assert not (tmp_path / "ran").exists()


def test_counts_only_living_nodes(tmp_path: Path) -> None:
    assert run(tmp_path, {}, ["--nodes", "2"])[::2] == (0, [])
    (tmp_path / "more").mkdir()
    code, said, _ = run(tmp_path / "more", {}, ["--nodes", "3", "--timeout", "0"])
    assert code == 1
    assert "2 of 3 nodes" in said


def test_a_request_that_was_left_behind_can_be_taken_back(tmp_path: Path) -> None:
    code, _, asked = run(tmp_path, {}, ["--release"])
    assert (code, asked) == (0, [[]])


def test_sigterm_reaches_the_command_and_releases_the_gpus(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    process = start(tmp_path, {"GPU": 1}, "--gpus", "1", "--", sys.executable, "-c", PATIENT, str(ran))
    while not ran.exists():
        assert process.poll() is None
    process.terminate()
    code, said, asked = end(process, tmp_path)
    assert (code, asked) == (5, [[{"GPU": 1}], []]), said
