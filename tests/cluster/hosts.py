"""Hosts that are made on this machine: each with a network, processes, a name, a home and a /tmp/ray of its own, and an
ssh server. They reach each other over a bridge of virtual cables and nothing else; what they share are the files."""

import shutil
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NETWORK = "10.213.77"
PROGRAMS = ("unshare", "nsenter", "ip", "sshd", "ssh", "rsync")
START_SECONDS = 30.0
# What a host does before its first program starts. $0: its folder; $1: its name; the rest: that program.
FIRST = """
set -e
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/hosts" /etc/hosts
mkdir -p /tmp/ray && mount --bind "$0/ray" /tmp/ray
mount -t tmpfs tmpfs /run && mkdir /run/sshd
hostname "$1"
ip link set lo up
shift
exec "$@"
"""
SSHD = """\
Port 22
HostKey {folder}/host_key
AuthorizedKeysFile {keys}
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
PidFile none
Subsystem sftp internal-sftp
"""


@dataclass
class Host:
    """One machine.

    Attributes:
        folder: Its home (`home`), its /tmp/ray (`ray`) and what its ssh server said (`log`).
        process: What keeps it alive; killed with it is everything that runs on the host.
    """

    name: str
    address: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def first(self) -> int:
        """The host's process 1, as this machine counts."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    def run(
        self, command: list[str], *, environment: Mapping[str, str] | None = None, **more: Any
    ) -> "subprocess.CompletedProcess[str]":
        """A command on the host, in its home, with nothing of this process's environment but the path to programs."""
        variables = {"HOME": str(self.home), "PATH": _path(), "LANG": "C.UTF-8", **(environment or {})}
        inside = ["nsenter", f"--target={self.first}", "--mount", "--net", "--pid", "--uts", f"--wd={self.home}"]
        return subprocess.run([*inside, *command], env=variables, capture_output=True, text=True, check=False, **more)

    def commands(self) -> list[str]:
        """The command lines of all that runs on the host."""
        shown = self.run(["ps", "-eo", "args="])
        assert shown.returncode == 0, shown.stderr
        return shown.stdout.splitlines()


def missing() -> list[str]:
    """What this machine lacks to make hosts: programs, or the right to."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if not lacking and subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode:
        lacking.append("the right to make network namespaces")
    return lacking


def _path() -> str:
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@contextmanager
def hosts(folder: Path, *names: str) -> Generator[list[Host]]:
    """Hosts that reach each other; the first has the bridge and no ssh server, the others let in its key.

    The key is `home/.ssh/key` of the first host.
    """
    made: list[Host] = []
    key = folder / names[0] / "home" / ".ssh" / "key"
    try:
        for number, name in enumerate(names, start=1):
            made.append(_host(folder / name, name, f"{NETWORK}.{number}", names, key if number > 1 else None))
        _connect(made)
        yield made
    finally:
        for host in made:
            host.process.kill()
            host.process.wait()


def _host(folder: Path, name: str, address: str, names: tuple[str, ...], key: Path | None) -> Host:
    for inner in ("home/.ssh", "ray"):
        (folder / inner).mkdir(parents=True)
    entries = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
    mine = [[*e[:5], str(folder / "home"), "/bin/bash"] if e[0] == "root" else e for e in entries]
    (folder / "passwd").write_text("".join(":".join(entry) + "\n" for entry in mine))
    known = [f"{NETWORK}.{number} {other}" for number, other in enumerate(names, start=1)]
    (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *known, ""]))
    _keygen(folder / "host_key" if key else folder / "home" / ".ssh" / "key")
    program = ["bash", "-c", "while :; do sleep 3600 & wait $!; done"]
    if key:
        (folder / "sshd").write_text(SSHD.format(folder=folder, keys=key.with_suffix(".pub")))
        program = ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd")]
    own = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*own, "bash", "-c", FIRST, str(folder), name, *program], stdout=log, stderr=log, start_new_session=True
        )
    host = Host(name, address, folder, process)
    _until(lambda: program[0] in " ".join(_arguments(host)), folder / "log")
    return host


def _arguments(host: Host) -> list[str]:
    try:
        return Path(f"/proc/{host.first}/cmdline").read_text().split("\0")[:2]
    except (OSError, IndexError):
        return []


def _connect(made: list[Host]) -> None:
    """The first host's bridge, and a cable from there to each other host."""
    switch = made[0]
    commands = [
        "ip link add bridge type bridge",
        f"ip addr add {switch.address}/24 dev bridge",
        "ip link set bridge up",
    ]
    for host in made[1:]:
        commands += [
            f"ip link add {host.name} type veth peer name wire netns {host.first}",
            f"ip link set {host.name} master bridge up",
        ]
    for command in commands:
        _done(switch, command)
    for host in made[1:]:
        for command in (f"ip addr add {host.address}/24 dev wire", "ip link set wire up"):
            _done(host, command)


def _done(host: Host, command: str) -> None:
    # of this machine's processes and not the host's, so that another host can be named by its process
    inside = ["nsenter", f"--target={host.first}", "--net", *command.split()]
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{host.name}: {command}: {done.stderr}"


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _until(met: Any, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not met():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
