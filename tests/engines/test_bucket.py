"""Runs and sweeps whose store is a bucket: killed in the middle, and their server silent for a while."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import objects
import pytest
import tiny
import yaml
from commands import sweep_command

from kdray.config import parse
from kdray.experiments.study import open_study
from kdray.stages import Context, InProcess, distill, prepare, read, teach
from kdray.stages.train_stage import result_of
from kdray.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SILENT_SECONDS = 8.0
EPOCHS = 40
SECRET = "kept-by-nobody-7731"


def plain(store: str, encoder: Path, corpus: Path) -> dict[str, Any]:
    return tiny.run_settings(encoder, corpus, store=store, train=tiny.training(EPOCHS))


def test_a_run_in_a_bucket_outlives_a_kill_and_a_silent_server(
    tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = parse(plain(str(tmp_path / "store"), tiny_encoder, tiny_corpus), source="test")
    context = Context(Store(here.store), InProcess(), None)
    expected = result_of(distill(here, prepare(here, context), context))
    in_a_bucket(monkeypatch, tmp_path)
    with objects.serving(tmp_path) as server:
        store = Store(server.uri("bucket/inner"))
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump(plain(store.uri, tiny_encoder, tiny_corpus)))
        run = [sys.executable, "-m", "kdray.cli", "run", str(file)]
        in_process = Context(store, InProcess(), None)
        teach(here.teachers[0], read(here.corpus, in_process), in_process)  # Ray does the rest
        with started(run, tmp_path / "first.log") as first:
            wait_for(lambda: store.children("distill") == [] and training_of_student(store), first)
            os.killpg(first.pid, signal.SIGKILL)
        assert store.artifacts("distill") == []
        (teacher,) = store.artifacts("teach")
        with started(run, tmp_path / "second.log") as second:
            wait_for(lambda: "distill folder-opinions-kd: starts" in (tmp_path / "second.log").read_text(), second)
            with server.silent():
                time.sleep(SILENT_SECONDS)
            assert second.wait(timeout=300) == 0, (tmp_path / "second.log").read_text()[-3000:]
        log = (tmp_path / "second.log").read_text()
        assert f"reused {teacher.where}" in log
        assert "resuming after epoch" in log
        (student,) = store.artifacts("distill")
        found = result_of(student)
        assert found["metrics"] == expected["metrics"]
        assert [epoch["score"] for epoch in found["history"]] == [epoch["score"] for epoch in expected["history"]]
        assert store.children("work") == []


def training_of_student(store: Store) -> bool:
    return bool(store.artifacts("outputs")) and any(
        name.startswith("latest-") for w in store.children("work") for name in store.children(f"work/{w}")
    )


@pytest.mark.soak
def test_a_sweep_in_a_bucket_outlives_its_driver_and_hands_out_its_student(
    url: str, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its study is in PostgreSQL, everything else in the bucket; Ray writes down neither's secrets."""
    in_a_bucket(monkeypatch, tmp_path)
    monkeypatch.setenv("KDRAY_DATA", "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with tempfile.TemporaryDirectory(prefix="kd") as ray, objects.serving(tmp_path) as server:
        monkeypatch.setenv("RAY_TMPDIR", ray)
        store = Store(server.uri("bucket/inner"))
        sweep = sweep_command(store.uri, tiny_encoder, "--pruning", "none")
        refused = subprocess.run(sweep, capture_output=True, text=True, timeout=300, check=False)
        assert refused.returncode == 2
        assert "a sweep in a bucket keeps its study in PostgreSQL" in refused.stderr
        sweep += ["--storage", url]
        with started(sweep, tmp_path / "first.log") as first:
            wait_for(lambda: len(store.artifacts("distill")) > 0, first)
            os.killpg(first.pid, signal.SIGKILL)
        assert store.read_json("sweeps/s/result.json") is None
        with started([*sweep, "--resume"], tmp_path / "second.log") as second:
            assert second.wait(timeout=400) == 0, (tmp_path / "second.log").read_text()[-3000:]
        with closing(open_study(url, name="s", folder=None, starts=[])) as sweep_study:
            assert [trial.state.name for trial in sweep_study.study.trials] == ["COMPLETE"] * 4
        tuned = [f"ray/{name}/tuner.pkl" for name in store.children("ray") if name.startswith("s-")]
        assert len(tuned) >= 2  # of each driver
        assert all(b"postgresql" not in store.read_bytes(path) for path in tuned)
        document = store.read_json("sweeps/s/result.json")
        assert [trial["number"] for trial in document["trials"]] == [0, 1, 2, 3]
        assert {"report.html", "trials.parquet"} <= set(store.children("sweeps/s"))
        assert store.uri_of("sweeps/s/report.html") in (tmp_path / "second.log").read_text()
        best = called("best", "s", "--store", store.uri, "--storage", url, "--export", str(tmp_path / "mine"))
        assert best["trial"] == document["best"]["number"]
        assert (tmp_path / "mine" / "model.safetensors").is_file()
        pages = called("report", store.uri)["pages"]
        assert "sweep-s.html" in pages
        assert {*pages, "index.html"} <= set(store.children("report"))
        written = [path for path in Path(ray).rglob("*") if path.is_file() and not path.is_symlink()]
        assert any(path.name == "runtime_env_agent.log" for path in written)
        assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def called(*command: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "kdray.cli", *command, "--json"], capture_output=True, text=True, timeout=300, check=True
    )
    return json.loads(done.stdout)


def in_a_bucket(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for key, value in objects.ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("RAY_TMPDIR", tempfile.gettempdir())  # its paths must be short
    monkeypatch.setenv("TMPDIR", str(folder))  # where copies of what is in the bucket lie


def started(command: list[str], log: Path) -> "subprocess.Popen[str]":
    with log.open("w") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, text=True, start_new_session=True)


def wait_for(condition: Any, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 900  # on a busy machine Ray's workers may need minutes to start
    while not condition():
        assert process.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < end
        time.sleep(0.2)
