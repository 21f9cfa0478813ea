"""Who reaches a local Ray: every socket that its processes listen on, from another network and without the token."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import psutil
import pytest
import tiny
import yaml
from commands import sweep_command

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("dashboard")]
SPACE, HOST, STRANGER = f"kdray-{os.getpid()}", "198.18.77.1", "198.18.77.2"  # addresses for tests of networks

ATTACK = """
import http.client, sys

job = '{"entrypoint": "touch ' + sys.argv[2] + '"}'
for port in map(int, sys.argv[3:]):
    answered = []
    for path in ("/api/job_agent/jobs/", "/api/jobs/"):
        try:
            connection = http.client.HTTPConnection(sys.argv[1], port, timeout=5)
            connection.request("POST", path, job, {"Content-Type": "application/json"})
        except OSError:
            continue
        try:
            answered.append(connection.getresponse().status)
        except (OSError, http.client.HTTPException):
            answered.append(0)
    if answered:
        print(port, *answered)
"""
REFUSED = (401, "Unauthorized: Missing authentication token")
METHODS = (
    "/ray.rpc.NodeInfoGcsService/CheckAlive",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/Push",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.RayletDriver/Init",  # of Ray Client
)


@dataclass(frozen=True, order=True)
class Listener:
    process: str
    ip: str
    port: int

    @property
    def is_on_loopback(self) -> bool:
        address: Any = ip_address(self.ip)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def listeners_of(process: psutil.Process) -> set[Listener]:
    with suppress(psutil.Error):  # a process may end while we look at it
        names = {each.pid: each.name() for each in [process, *process.children(recursive=True)]}
        return {
            Listener(names[each.pid], each.laddr.ip, each.laddr.port)
            for each in psutil.net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN and each.pid in names
        }
    return set()


@dataclass
class Space:
    """Another network namespace, whose only link leads to this machine."""

    reached: dict[int, str] = field(default_factory=dict[int, str])

    def works(self, folder: Path) -> bool:
        """Whether a server of this machine can be reached from there at all."""
        with HTTPServer((HOST, 0), BaseHTTPRequestHandler) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            self.attack([server.server_port], folder / "of-the-link")
            server.shutdown()
        return self.reached.pop(server.server_port, None) is not None

    def attack(self, ports: list[int], mark: Path) -> None:
        command = ["ip", "netns", "exec", SPACE, sys.executable, "-c", ATTACK, HOST, str(mark), *map(str, ports)]
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            port, _, answers = line.partition(" ")
            self.reached[int(port)] = answers


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space | None]:
    """None where this user may make no namespace, or where no packet leaves one."""
    try:
        subprocess.run(["ip", "netns", "add", SPACE], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    ours, theirs = f"kd{os.getpid() % 10**6}a", f"kd{os.getpid() % 10**6}b"
    inside = ["ip", "-n", SPACE]
    try:
        for command in (
            ["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", SPACE],
            ["ip", "addr", "add", f"{HOST}/30", "dev", ours],
            ["ip", "link", "set", ours, "up"],
            [*inside, "addr", "add", f"{STRANGER}/30", "dev", theirs],
            [*inside, "link", "set", theirs, "up"],
        ):
            subprocess.run(command, check=True, capture_output=True)
        made = Space()
        yield made if made.works(tmp_path_factory.mktemp("link")) else None
    finally:
        subprocess.run(["ip", "netns", "del", SPACE], check=True, capture_output=True)


def settings(folder: Path, encoder: Path, corpus: Path) -> dict[str, Any]:
    training = {"epochs": 2, "batch_size": 8, "max_length": tiny.MAX_LENGTH}
    return {
        "store": str(folder / "store"),
        "corpus": tiny.opinions(corpus),
        "prune": {"policy": "none"},
        "outputs": {"quality_check": False},
        "teachers": [tiny.given_teacher(folder / "teacher")],
        "student": {"encoder": str(encoder), "layers": 1},
        "train": training,
        "work": {"workers": 2, "cpus": 1, "actors": 1},
    }


def command_of(name: str, folder: Path, encoder: Path, corpus: Path) -> list[str]:
    if name == "sweep":
        return sweep_command(folder / "store", encoder, "--trials", "1")
    plain = settings(folder, encoder, corpus)
    if name == "prune":
        teacher = tiny.given_teacher(folder / "teacher", labels=("entailment", "not_entailment"))
        plain |= {"prune": {"policy": "lower_tail"}, "corpus": {"name": "sample", "limit": 64}, "teachers": [teacher]}
    (folder / "run.yaml").write_text(yaml.safe_dump(plain))
    return [sys.executable, "-m", "kdray.cli", name, str(folder / "run.yaml")]


@dataclass
class Watched:
    """Attributes:
    listeners: Of all processes of a command, from its start to its end.
    space: What answered there; None without a namespace.
    """

    listeners: set[Listener]
    space: Space | None
    mark: Path


@pytest.fixture(
    scope="module", params=["run", *(pytest.param(name, marks=pytest.mark.soak) for name in ("sweep", "prune"))]
)
def watched(
    request: pytest.FixtureRequest,
    space: Space | None,
    tiny_encoder: Path,
    tiny_corpus: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Watched:
    folder = tmp_path_factory.mktemp(request.param)
    found, mark = set[Listener](), folder / "was-here"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    with (folder / "log").open("w") as log:
        command = command_of(request.param, folder, tiny_encoder, tiny_corpus)
        process = subprocess.Popen(command, env=environment | {"KDRAY_DATA": ""}, stdout=log, stderr=log)
        try:
            while process.poll() is None:
                new = listeners_of(psutil.Process(process.pid)) - found
                found |= new
                if space is not None and new:
                    space.attack([each.port for each in new], mark)
                time.sleep(0.2)
        finally:
            process.kill()
    assert process.returncode == 0, (folder / "log").read_text()[-3000:]
    return Watched(found, space, mark)


def test_every_socket_of_a_command_is_on_loopback(watched: Watched) -> None:
    assert {"gcs_server", "raylet"} <= {each.process for each in watched.listeners}
    assert len(watched.listeners) > 8, watched.listeners
    assert [each for each in sorted(watched.listeners) if not each.is_on_loopback] == []


def test_another_network_reaches_no_socket_of_a_command(watched: Watched, tmp_path: Path) -> None:
    if watched.space is None:
        pytest.skip("NOT CHECKED: no link from another network namespace (needs root, the program ip, and no firewall)")
    assert watched.space.reached == {}
    assert not watched.mark.exists()
    assert watched.space.works(tmp_path)  # so the attacks did arrive


@dataclass
class Local:
    address: str
    token: str
    listeners: list[Listener]


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    from kdray.engines.ray.session import session

    with session(None):
        import ray

        remote: Any = ray.remote(lambda: 2)
        assert ray.get(remote.remote()) == 2
        time.sleep(5)  # the agents start after the rest
        address, token = ray.get_runtime_context().gcs_address, Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
        yield Local(address, token, sorted(listeners_of(psutil.Process())))


def test_every_socket_of_a_session_refuses_a_program_without_the_token(local: Local, tmp_path: Path) -> None:
    answers = {each: answer_of(each.port, tmp_path / "was-here") for each in local.listeners}
    shown = {f"{each.process} {each.port}": answer for each, answer in answers.items()}
    assert set(shown.values()) == {"HTTP: refused", "HTTP: shows numbers", "gRPC: refused"}, shown
    assert list(shown.values()).count("HTTP: refused") >= 2, shown  # the dashboard and the agents
    assert not (tmp_path / "was-here").exists()


def answer_of(port: int, mark: Path) -> str:
    """What a socket on loopback answers to a program that gives no token."""
    job = f'{{"entrypoint": "touch {mark}"}}'
    posts = [request(port, "POST", path, job) for path in ("/api/job_agent/jobs/", "/api/jobs/", "/")]
    if None not in posts:
        *jobs, page = [status for status, _ in filter(None, posts)]
        if jobs == [401, 401] and page in (401, 405):  # the dashboard shows its empty page to everybody
            return "HTTP: refused"
        is_metrics = (request(port, "GET", "/metrics") or (0, ""))[1].startswith("# HELP")
        return "HTTP: shows numbers" if is_metrics and all(post and post[0] == 405 for post in posts) else f"{posts}"
    codes = {call(port, method) for method in METHODS} - {"UNIMPLEMENTED"}
    return "gRPC: refused" if codes == {"UNAUTHENTICATED"} else f"gRPC: {codes}"


def request(port: int, method: str, path: str, body: str | None = None, *, token: str = "") -> tuple[int, str] | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    except http.client.HTTPException:
        return None
    finally:
        connection.close()


def call(port: int, method: str) -> str:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary(method)(b"", timeout=30)
        except grpc.RpcError as error:
            return error.code().name  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    return "OK"


def test_the_token_opens_what_was_closed(local: Local, tmp_path: Path) -> None:
    """So the token is the reason of the refusals."""
    ports = [each.port for each in local.listeners if request(each.port, "GET", "/api/jobs/") == REFUSED]
    opened = [port for port in ports if (request(port, "GET", "/api/jobs/", token=local.token) or REFUSED)[0] != 401]
    assert opened == ports != []
    assert 200 in [(request(port, "GET", "/api/jobs/", token=local.token) or REFUSED)[0] for port in ports]
    for port in ports:  # where the port of the agent is taken by another Ray, nothing runs jobs
        if (request(port, "GET", "/api/job_agent/jobs/", token=local.token) or (404, ""))[0] != 404:
            job = f'{{"entrypoint": "touch {tmp_path / "friend"}"}}'
            status, said = request(port, "POST", "/api/job_agent/jobs/", job, token=local.token) or (0, "")
            assert status == 200, said
            wait_for(tmp_path / "friend")


def wait_for(path: Path) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["no token", "a wrong token"])
def test_a_client_of_ray_without_the_token_is_refused(local: Local, token: str | None) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
    connect = [sys.executable, "-c", f"import ray; ray.init({local.address!r}); print(ray.nodes())"]
    status = [str(Path(sys.executable).with_name("ray")), "status", "--address", local.address]
    for command in (connect, status):
        refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert refused.returncode != 0
        assert "AuthenticationError" in refused.stderr, refused.stderr[-2000:]


def test_the_command_that_is_shown_works(local: Local) -> None:
    from kdray.engines.ray.access import command_prefix

    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    command = f"{command_prefix()} {Path(sys.executable).with_name('ray')} status --address {local.address}"
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Active:" in done.stdout
    assert local.token not in command


def test_no_process_shows_the_token_on_its_command_line(local: Local) -> None:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    assert len(processes) > 5
    for process in processes:
        with suppress(psutil.Error):
            assert local.token not in " ".join(process.cmdline())
