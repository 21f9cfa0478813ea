"""What every test may use: one thread, no network, a tiny encoder and a tiny corpus."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that needs the network is wrong
os.environ.setdefault("KDRAY_DASHBOARD", "0")  # nine processes less; the fixture `dashboard` turns it on
os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's 15, workers starve beside other tests and time out

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import postgres
import pytest
import tiny
import torch

from kdray.models.precision import answer_file

hypothesis.settings.register_profile("kdray", deadline=None)  # a busy machine makes no test wrong
hypothesis.settings.load_profile("kdray")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: two workers then end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def same_precision(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`precision: auto` is fp32 on every processor, also in child processes, and nothing is measured."""
    os.environ["KDRAY_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    answer_file().write_text('{"precision": "fp32"}')


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 4 layers and width 16 with its tokenizer, random weights, no classifier. Read only."""
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder") / "tiny-bert")


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training and 16 test rows whose label can be read off one word. Read only."""
    return tiny.save_opinions(tmp_path_factory.mktemp("corpus") / "opinions")


@pytest.fixture(scope="session")
def real_corpora() -> Path:
    """The folder of real corpora; tests that ask for it are skipped where there is none."""
    if "KDRAY_DATA" not in os.environ:
        pytest.skip("KDRAY_DATA names no folder of real corpora")
    return Path(os.environ["KDRAY_DATA"])


@pytest.fixture(autouse=True)
def _quiet_again() -> Iterator[None]:
    """`main` sends kdray's log to the standard error of this test, which is closed when the next test runs."""
    yield
    root = logging.getLogger("kdray")
    root.handlers, root.propagate = [], True


@pytest.fixture(scope="module")
def dashboard() -> Iterator[None]:
    """Every local Ray of this file starts with its dashboard, as it does for users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRAY_DASHBOARD", "1")
        yield


@pytest.fixture(scope="module")
def ray_session() -> Iterator[Any]:
    from kdray.engines.ray.session import session

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
