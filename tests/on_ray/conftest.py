"""What these tests share: a local Ray session, and a PostgreSQL server."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres
import pytest


@pytest.fixture(scope="module")
def ray_session() -> Iterator[Any]:
    from kdray.on_ray.session import session

    with session(None) as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of an empty database on a server that only these tests know; they are skipped where none is installed."""
    programs = postgres.server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: apt install postgresql)")
    # not below pytest's folders: a socket's path may have 107 characters
    with tempfile.TemporaryDirectory(prefix="kdray-pg-") as folder, postgres.running(programs, Path(folder)) as found:
        yield found
