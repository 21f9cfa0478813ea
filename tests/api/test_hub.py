"""Names of the Hugging Face hub that it does not give: one sentence, soon, with the names that are here."""

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import kdray as kd
from kdray.errors import ConfigError
from kdray.models.encoders import resolve_encoder

ENCODER = r"^encoder '{}' was not found: it is no folder, it is not in the Hugging Face cache, and {}; {}"
DATASET = r"^dataset '{}' was not found: it is not in the Hugging Face cache, and {}; {}"
FIX = "check the name and the network, or give the folder of a model"


class Hub(ThreadingHTTPServer):
    """It answers every request with `status`; with 0 it never answers."""

    status = 404
    daemon_threads = True
    requests = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.closing = threading.Event()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        hub: Any = self.server
        hub.requests += self.path.startswith(("/api/models", "/api/datasets"))
        if not hub.status:
            hub.closing.wait()
            return
        self.send_response(hub.status)
        self.send_header("X-Error-Code", "RepoNotFound" if hub.status == 404 else "")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Hub]:
    """A hub on loopback, and an empty cache."""
    pytest.importorskip("datasets")
    with Hub() as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
        monkeypatch.setattr("kdray.hub.SECONDS", 0.5)
        monkeypatch.chdir(tmp_path)
        yield server
        server.closing.set()
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "the hub has no {} of this name, or it is private"),
        (503, r"the hub answers with an error \(HTTP 503\)"),
        (0, r"the hub cannot be reached \(ReadTimeout\)"),
    ],
)
def test_a_name_that_the_hub_does_not_give_takes_one_request(hub: Hub, status: int, reason: str) -> None:
    hub.status = status
    with pytest.raises(ConfigError, match=ENCODER.format("nobody/nothing", reason.format("model"), FIX)):
        resolve_encoder("nobody/nothing")
    with pytest.raises(ConfigError, match=DATASET.format("nobody/rows", reason.format("dataset"), "check the name")):
        kd.Dataset.from_hub("nobody/rows")
    assert hub.requests == 2


def test_no_hub_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"and the hub cannot be reached \(ConnectError\); check the name"):
        resolve_encoder("nobody/nothing")
    with pytest.raises(ConfigError, match=r"and the hub cannot be reached \(ConnectError\); check the name"):
        kd.Dataset.from_hub("nobody/rows")


def test_near_names_are_those_that_are_here(hub: Hub, tmp_path: Path) -> None:
    cached = tmp_path / "hub" / "models--somebody--bert-small" / "snapshots" / "1"
    cached.mkdir(parents=True)
    (cached / "config.json").write_text("{}")
    (tmp_path / "my-teacher").mkdir()
    for name, near in (
        ("minlm", "minilm"),
        ("somebod/bert-small", "somebody/bert-small"),
        ("my-techer", "my-teacher"),
    ):
        with pytest.raises(ConfigError, match=rf"; did you mean {near}\? Otherwise {FIX}\.$"):
            resolve_encoder(name)
    with pytest.raises(ConfigError, match=r'; did you mean kd\.Dataset\.load\("sst2"\)\? Otherwise check the name'):
        kd.Dataset.from_hub("stanfordnlp/sst2")


def test_a_name_without_a_near_one_lists_those_that_are_here(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdray.models.encoders.minilm_here", lambda: Path())
    with pytest.raises(ConfigError, match=rf"; {FIX} \(here: minilm\)\.$"):
        resolve_encoder("google/electra")
    monkeypatch.setattr("kdray.models.encoders.minilm_here", lambda: None)
    with pytest.raises(ConfigError, match=rf"; {FIX}\.$"):
        resolve_encoder("google/electra")


def test_what_is_no_name_of_the_hub_is_not_looked_up(hub: Hub) -> None:
    with pytest.raises(ConfigError, match=r"and this is no name of the hub \(as OWNER/NAME is\); check"):
        resolve_encoder("one two/three:")
    assert hub.requests == 0
