"""A real PostgreSQL server for one test session, from the machine's own packages."""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def server_programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None if the machine has no server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def running(programs: Path, folder: Path) -> Generator[str]:
    """A server that listens on a socket in `folder` alone; yields the URL of its database."""
    user = _user()
    if user:
        shutil.chown(folder, user)
        for above in folder.parents:
            if above.stat().st_uid == os.getuid() and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o001)

    _call(folder, programs / "initdb", "-D", folder / "data", "-U", "kdray", "-A", "trust", "--no-sync")
    _start(programs, folder)
    try:
        yield f"postgresql+psycopg://kdray@/postgres?host={folder}"
    finally:
        _stop(programs, folder)


@contextmanager
def away(url: str) -> Generator[None]:
    """The server of this URL is stopped at once, as by a crash, and started again at the end."""
    programs, folder = server_programs(), Path(url.partition("?host=")[2])
    assert programs is not None
    _stop(programs, folder)
    try:
        yield
    finally:
        _start(programs, folder)


def _user() -> str | None:
    return "postgres" if os.getuid() == 0 else None  # it refuses to run as root


def _call(folder: Path, *command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, user=_user(), cwd=folder, capture_output=True)


def _start(programs: Path, folder: Path) -> None:
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    _call(folder, programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "start", "-o", options)


def _stop(programs: Path, folder: Path) -> None:
    _call(folder, programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
