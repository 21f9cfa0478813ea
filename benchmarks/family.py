"""What benchmarks have in common: a command measured with everything it starts, and a database server of its own."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from kdray.errors import ConfigError, RunError

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # for the server that the tests use

POLL_SECONDS = 0.2
MIB = 2**20


@dataclass
class Used:
    """Attributes:
    cpu: Processor seconds of the command and of all its descendants, as last seen of each.
    wall: Seconds.
    driver: Most private memory of the command itself, MiB: what is resident less what is shared.
    worker: The same of its largest descendant.
    """

    cpu: float = 0.0
    wall: float = 0.0
    driver: float = 0.0
    worker: float = 0.0
    _seconds: dict[tuple[int, float], float] = field(default_factory=dict[tuple[int, float], float], repr=False)

    def look(self, root: int) -> None:
        try:
            family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
        except psutil.Error:
            return
        for process in family:
            try:
                times, memory = process.cpu_times(), process.memory_info()
                self._seconds[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue
            private = (memory.rss - memory.shared) / MIB
            if process.pid == root:
                self.driver = max(self.driver, private)
            else:
                self.worker = max(self.worker, private)
        self.cpu = sum(self._seconds.values())


@contextmanager
def database() -> Iterator[str]:
    """A server from the machine's own PostgreSQL; yields the URL of its database."""
    import postgres

    programs = postgres.server_programs()
    if programs is None:
        raise ConfigError(
            "PostgreSQL is missing: install it (Debian: apt install postgresql); kills.py takes --storage URL."
        )
    with tempfile.TemporaryDirectory(prefix="kdray-pg-") as folder, postgres.running(programs, Path(folder)) as url:
        yield url


def measured(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Used:
    """Run a command to its end.

    Raises:
        RunError: It failed; the message holds the end of its log.
    """
    used, start = Used(), time.perf_counter()
    with log.open("w") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process:
        while process.poll() is None:
            used.look(process.pid)
            time.sleep(POLL_SECONDS)
    used.wall = time.perf_counter() - start
    if process.returncode:
        raise RunError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return used
