"""The HTTP service, by its ASGI interface."""

import asyncio
import shutil

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from served import TEXTS

from kdray.errors import ConfigError
from kdray.serve.app import make_app
from kdray.serve.batching import Batcher
from kdray.serve.loading import open_scorer
from kdray.serve.scorer import Scores
from kdray.serve.server import MODEL, SETTINGS, THREADS, TOKEN, URL, from_environment, is_loopback, run, with_token
from kdray.serve.settings import ServeSettings


@pytest.fixture(scope="module")
def client(bundle):
    limits = ServeSettings(texts=8, characters=200, body_bytes=2000)
    with TestClient(make_app(open_scorer(bundle), limits)) as client:
        yield client


def test_one_text_and_many_get_the_predictions_of_the_model(client, bundle):
    scorer = open_scorer(bundle)
    expected = scorer.score([(text,) for text in TEXTS]).values
    found = client.post("/predict", json={"texts": TEXTS}).json()["predictions"]
    assert [each["label"] for each in found] == scorer.predictions(expected)
    got = [[each["probabilities"][label] for label in scorer.labels] for each in found]
    np.testing.assert_allclose(got, expected, atol=2e-6)
    assert client.post("/predict", json={"texts": TEXTS[0]}).json()["predictions"] == found[:1]
    assert client.post("/predict", json={"texts": []}).json() == {"predictions": []}
    cut = client.post("/predict", json={"texts": ["film " * 32]}).json()["predictions"]
    assert [each["truncated"] for each in cut] == [True]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"{", 422, "the body is not JSON (Expecting property name enclosed in double quotes): send"),
        (b'{"text": ["a"]}', 422, "the key texts is missing, the key 'text' is unknown: send"),
        (b'{"texts": ["a"], "x": 1}', 422, "the key 'x' is unknown: send"),
        (b'["a"]', 422, "the body is not a JSON object: send"),
        (b"", 422, "the body is not a JSON object: send"),
        (b'{"texts": 1}', 422, "texts is neither a text nor a list of texts: send"),
        (b'{"texts": ["a", 1]}', 422, "texts[1] is neither a text nor a list of texts: send"),
        (b'{"texts": ["\\ud800"]}', 422, "half of a surrogate pair"),
        (b'{"texts": [["a", "b"]]}', 422, r"texts[0]: expected a text"),
        (b'{"texts": ["' + b"a" * 201 + b'"]}', 413, "texts[0] has 201 characters, but a text may have 200"),
        (b'{"texts": ["a","a","a","a","a","a","a","a","a"]}', 413, "9 texts, but a request may have 8"),
        (b'{"texts": "' + b"a" * 2000 + b'"}', 413, "The body has more than 2000 bytes"),
        (b'{"texts": "\\u0000"}', 200, "label"),
        (b"\xff\xfe", 422, "the body is not JSON"),
    ],
)
def test_hostile_bodies_get_a_clear_answer(client, content, status, said):
    answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert said in (answer.json()["detail"] if status != 200 else answer.text)
    assert client.get("/healthz").json()["status"] == "ok"


def test_a_deeply_nested_body_gets_a_clear_answer(client):
    """Up to Python 3.12 its depth is the error, later its missing end."""
    answer = client.post("/predict", content=b"[" * 1000, headers={"content-type": "application/json"})
    expected = {400: "error parsing the body", 422: "the body is not JSON"}
    assert expected[answer.status_code] in answer.text


def test_a_body_without_a_length_is_limited_too(client):
    answer = client.post("/predict", content=(b"a" * 100 for _ in range(1000)))
    assert answer.status_code == 413


def test_the_service_lists_its_paths(client, bundle):
    found = client.get("/").json()
    assert found["model"] == bundle.name
    for each in found["paths"]:
        method, path = each.split()
        assert client.request(method, path).status_code in (200, 422)
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/predict", 405)):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.json()["detail"].startswith(f"There is no {method} {path}; there are POST /predict, GET /healthz")


def test_the_service_shows_a_request_that_works(bundle, monkeypatch, caplog):
    caplog.set_level("INFO", logger="uvicorn.error")
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: TestClient(from_environment()))
    for name in (MODEL, SETTINGS, THREADS, URL):
        monkeypatch.setenv(name, "")  # restored at the end
    monkeypatch.setenv(TOKEN, "s" * 20)
    run(str(bundle), host="::1", port=0, workers=1, threads=1, settings=ServeSettings())
    url, header = "http://[::1]:PORT", '"authorization: Bearer $KDRAY_SERVE_TOKEN"'
    assert f"bundle is loaded; try curl -s {url}/predict -H 'content-type" in caplog.text
    assert f"""-H {header} -d '{{"texts": ["a text"]}}'""" in caplog.text


def test_metrics_count_requests_and_texts(client):
    client.post("/predict", json={"texts": TEXTS})
    text = client.get("/metrics").text
    assert 'kdray_requests_total{status="200"}' in text
    assert "kdray_batch_rows_bucket" in text
    assert client.get("/docs").status_code == 200


@pytest.mark.parametrize("name", ["bundle.json", "model.onnx", "tokenizer.json"])
def test_a_damaged_bundle_is_refused_before_anything_listens(bundle, tmp_path, monkeypatch, name):
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    (folder / name).write_bytes(b"[]")
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: pytest.fail("it listens"))
    with pytest.raises(ConfigError, match=rf"bundle/{name} is .*; export the bundle again\.$"):
        run(str(folder), host="127.0.0.1", port=0, workers=1, threads=1, settings=ServeSettings())


def test_a_service_with_a_token_refuses_requests_without_it(bundle):
    with TestClient(make_app(open_scorer(bundle), ServeSettings(token="s" * 20))) as client:
        assert client.post("/predict", json={"texts": "good"}).status_code == 401
        assert client.get("/metrics").status_code == 401
        for given in ("Bearer " + "s" * 19, "Basic " + "s" * 20, "Bearer ünïcode"):
            headers = {"authorization": given.encode()}
            assert client.post("/predict", json={"texts": "good"}, headers=headers).status_code == 401
        headers = {"authorization": "Bearer " + "s" * 20}
        assert client.post("/predict", json={"texts": "good"}, headers=headers).status_code == 200


def test_a_model_that_cannot_be_read_is_refused_before_a_token_is_made(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(ConfigError, match="nowhere"):
        run(str(tmp_path / "nowhere"), host="0.0.0.0", port=0, workers=1, threads=1, settings=ServeSettings())
    assert "token" not in capsys.readouterr().out


def test_an_address_beyond_loopback_needs_a_token(monkeypatch, capsys):
    monkeypatch.delenv(TOKEN, raising=False)
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")] == [
        *(True, True, True),
        *(False, False),
    ]
    assert with_token(ServeSettings(), "127.0.0.1").token is None
    made = with_token(ServeSettings(), "10.0.0.1").token
    assert made is not None
    assert made in capsys.readouterr().out
    monkeypatch.setenv(TOKEN, "chosen-by-the-user")
    assert with_token(ServeSettings(), "127.0.0.1").token == "chosen-by-the-user"
    monkeypatch.setenv(TOKEN, "short")
    with pytest.raises(ConfigError, match="has 5 characters; give 16 or more"):
        with_token(ServeSettings(), "127.0.0.1")


class Counting:
    """Scores a row by its length; a row "fail" raises."""

    def __init__(self):
        self.batches = []

    def score(self, rows):
        self.batches.append([row[0] for row in rows])
        if any(row[0] == "fail" for row in rows):
            raise RuntimeError("it fails")
        return Scores(np.array([[len(row[0])] for row in rows], np.float32), np.zeros(len(rows), bool))


def test_rows_of_many_requests_share_batches_and_come_back_to_their_own():
    async def work():
        scorer = Counting()
        batcher = Batcher(scorer, batch_rows=4, wait=0.05)
        running = asyncio.create_task(batcher.run())
        found = await asyncio.gather(*(batcher.score([("a" * n,), ("b" * 10 * n,)]) for n in range(1, 5)))
        running.cancel()
        return scorer.batches, found

    batches, found = asyncio.run(work())
    assert [len(batch) for batch in batches] == [4, 4]
    assert [[float(values[0]) for values, _ in each] for each in found] == [[n, 10 * n] for n in range(1, 5)]


def test_a_batch_that_fails_ends_its_own_requests_only():
    async def work():
        batcher = Batcher(Counting(), batch_rows=1, wait=0)
        running = asyncio.create_task(batcher.run())
        found = await asyncio.gather(*(batcher.score([(text,)]) for text in ("a", "fail", "c")), return_exceptions=True)
        running.cancel()
        return found

    first, second, third = asyncio.run(work())
    assert isinstance(second, RuntimeError)
    assert (float(first[0][0][0]), float(third[0][0][0])) == (1, 1)


def test_a_full_queue_refuses_further_rows(bundle):
    with TestClient(make_app(open_scorer(bundle), ServeSettings(queue_rows=4, texts=4))) as client:
        client.app.state.batcher._waiting += [(("a",), None)]  # pyright: ignore
        answer = client.post("/predict", json={"texts": TEXTS})
        client.app.state.batcher._waiting.clear()  # pyright: ignore
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
