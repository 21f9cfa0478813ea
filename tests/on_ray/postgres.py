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
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    data = folder / "data"
    if user:
        shutil.chown(folder, user)
        for above in folder.parents:
            if above.stat().st_uid == os.getuid() and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o001)

    def call(*command: object) -> None:
        subprocess.run([str(part) for part in command], check=True, user=user, cwd=folder, capture_output=True)

    call(programs / "initdb", "-D", data, "-U", "kdray", "-A", "trust", "--no-sync")
    call(
        programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "start",
        "-o", f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off",
    )  # fmt: skip
    try:
        yield f"postgresql+psycopg://kdray@/postgres?host={folder}"
    finally:
        call(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
