"""A run whose store is a bucket: killed in the middle of a training, and its server silent for a while."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import objects
import pytest
import tiny
import yaml

from kdray.config import parse
from kdray.stages import Context, InProcess, distil, prepare
from kdray.stages.fitting import result_of
from kdray.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SILENT_SECONDS = 8.0
EPOCHS = 40


def plain(store: str, encoder: Path, corpus: Path) -> dict[str, Any]:
    training = {"epochs": EPOCHS, "learning_rate": 1e-3, "batch_size": 8, "max_length": tiny.MAX_LENGTH}
    return {
        "store": store,
        "corpus": {
            "name": "folder",
            "path": str(corpus),
            "columns": {"id": "id", "label": "label"},
            "fields": [{"name": "text", "role": "body"}],
            "labels": ["negative", "positive"],
        },
        "teachers": [{"name": "t", "encoder": str(encoder), "train": training | {"epochs": 1}}],
        "outputs": {"preflight": False},
        "student": {"encoder": str(encoder), "layers": 1},
        "train": training,
        "prune": {"policy": "none"},
    }


def test_a_run_in_a_bucket_outlives_a_kill_and_a_silent_server(
    tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = parse(plain(str(tmp_path / "store"), tiny_encoder, tiny_corpus), source="test")
    context = Context(Store(here.store), InProcess(), None)
    expected = result_of(distil(here, prepare(here, context), context))
    for key, value in objects.ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("RAY_TMPDIR", tempfile.gettempdir())  # its paths must be short
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where copies of what is in the bucket lie
    with objects.serving(tmp_path) as server:
        store = Store(server.uri("bucket/inner"))
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump(plain(store.uri, tiny_encoder, tiny_corpus)))
        with started(file, tmp_path / "first.log") as first:
            wait_for(lambda: store.children("distil") == [] and training_of_student(store), first)
            os.killpg(first.pid, signal.SIGKILL)
        assert store.artifacts("distil") == []
        (teacher,) = store.artifacts("teach")
        with started(file, tmp_path / "second.log") as second:
            wait_for(lambda: "distil folder-opinions-kd: starts" in (tmp_path / "second.log").read_text(), second)
            with server.silent():
                time.sleep(SILENT_SECONDS)
            assert second.wait(timeout=300) == 0, (tmp_path / "second.log").read_text()[-3000:]
        log = (tmp_path / "second.log").read_text()
        assert f"reused {teacher.where}" in log
        assert "goes on after epoch" in log
        (student,) = store.artifacts("distil")
        found = result_of(student)
        assert found["metrics"] == expected["metrics"]
        assert [epoch["score"] for epoch in found["history"]] == [epoch["score"] for epoch in expected["history"]]
        assert store.children("work") == []


def training_of_student(store: Store) -> bool:
    return bool(store.artifacts("outputs")) and any(
        store.exists(f"work/{w}/latest.json") for w in store.children("work")
    )


def started(file: Path, log: Path) -> "subprocess.Popen[str]":
    with log.open("w") as out:
        command = [sys.executable, "-m", "kdray.cli", "run", str(file)]
        return subprocess.Popen(command, stdout=out, stderr=out, text=True, start_new_session=True)


def wait_for(condition: Any, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < end
        time.sleep(0.2)
