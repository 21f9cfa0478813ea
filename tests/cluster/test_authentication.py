"""A head started as the cluster files start it: who has no token can submit nothing, read nothing."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]
START_SECONDS = 180.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Head:
    address: str
    url: str
    token: str


def free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    folder, token, port = tmp_path_factory.mktemp("head"), secrets.token_hex(32), free_port()
    gcs = free_port()
    (folder / "token").write_text(token)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={gcs}"]
    command += [f"--dashboard-agent-listen-port={free_port()}"]  # 52365 may be another cluster's
    command += ["--num-cpus=1", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}", "--disable-usage-stats"]
    with tempfile.TemporaryDirectory(prefix="kd") as short, (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--temp-dir={short}"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            started = Head(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{port}", token)
            wait_for(started, process, folder / "log")
            yield started
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(head: Head, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            if ask(head, "/api/version", token=head.token)[0] == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.5)


def ask(head: Head, path: str, *, token: str | None, body: object = None) -> tuple[int, str]:
    request = urllib.request.Request(
        head.url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["no token", "a wrong token"])
def test_a_job_of_a_stranger_is_refused(head: Head, tmp_path: Path, token: str | None) -> None:
    job = {"entrypoint": f"touch {tmp_path / 'was-here'}", "submission_id": "stranger"}
    status, said = ask(head, "/api/jobs/", token=token, body=job)
    assert status in (401, 403), said
    status, said = ask(head, "/api/jobs/", token=head.token)
    assert status == 200
    assert "stranger" not in said
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize("path", ["/api/jobs/", "/nodes?view=summary", "/api/v0/tasks", "/api/v0/logs?node_id=x"])
def test_unauthenticated_clients_are_refused(head: Head, path: str) -> None:
    assert ask(head, path, token=None)[0] in (401, 403)


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["no token", "a wrong token"])
def test_a_command_without_the_token_ends_in_one_sentence(head: Head, tmp_path: Path, token: str | None) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"HOME": str(tmp_path)} | ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {})
    command = [sys.executable, "-m", "kdray.cli", "run", str(ROOT / "recipes/sample.yaml"), f"store={tmp_path}/store"]
    done = subprocess.run(
        [*command, "--address", head.address], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"kdray: --address {head.address}: no Ray cluster lets this command in (it needs a token")
    assert not (tmp_path / "store").exists()  # refused before any work


def submitted(head: Head, job: dict[str, str]) -> tuple[int, str]:
    """The reply to a job; a busy dashboard may close the connection, before or after it took the job."""
    try:
        return ask(head, "/api/jobs/", token=head.token, body=job)
    except http.client.RemoteDisconnected:
        return 503, "No available agent"


def test_who_has_the_token_may_submit(head: Head, tmp_path: Path) -> None:
    job = {"entrypoint": f"touch {tmp_path / 'was-here'}", "submission_id": "friend"}
    end = time.monotonic() + 240
    while (reply := submitted(head, job))[0] != 200 and "already exists" not in reply[1]:
        assert "No available agent" in reply[1]  # it starts after the dashboard
        assert time.monotonic() < end
        time.sleep(1)
    while not (tmp_path / "was-here").exists():
        assert time.monotonic() < end, ask(head, "/api/jobs/friend", token=head.token)
        time.sleep(0.5)
