"""Ctrl-C in the middle of a training by Ray Train, and SIGTERM after Ray."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.slow]

AFTER_RAY = """
import os, signal, sys, time
from kdray.cli.main import guarded
from kdray.engines.ray.session import session

def work():
    with session(None):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)

sys.exit(guarded(work, debug=False))
"""


def test_ctrl_c_ends_the_command_with_a_sentence(tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    teachers = [tiny.teacher(tiny_encoder, epochs=1000)]
    run = tiny.run_settings(tiny_encoder, tiny_corpus, store=str(tmp_path / "store"), teachers=teachers)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    log = tmp_path / "log"
    command = [sys.executable, "-m", "kdray.cli", "teach", str(tmp_path / "run.yaml")]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, "KDRAY_DATA": ""}, preexec_fn=_hears_ctrl_c
        )
    end = time.monotonic() + 300
    while not list((tmp_path / "store" / "work").glob("*/latest-*/checksums.json")):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130, log.read_text()[-3000:]
    assert log.read_text().strip().splitlines()[-1] == "kdray: interrupted; rerun the same command to resume."


def test_sigterm_after_ray_ends_the_command_with_a_sentence() -> None:
    """Ray's core takes the handler away when it ends."""
    done = subprocess.run([sys.executable, "-c", AFTER_RAY], capture_output=True, text=True, check=False)
    assert done.returncode == 143, done.stderr
    assert done.stderr.splitlines()[-1] == "kdray: interrupted; rerun the same command to resume."


def _hears_ctrl_c() -> None:
    """Also where the tests run in the background of a shell, which has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
