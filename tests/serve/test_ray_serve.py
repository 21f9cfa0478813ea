"""The service on Ray Serve: which args are refused, and one request through Ray's proxy."""

import importlib.util
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from kdray.errors import ConfigError

if missing := [name for name in ("grpc_reflection", "watchfiles") if importlib.util.find_spec(name) is None]:
    pytest.skip(
        f"ray[serve] is not installed ({', '.join(missing)}): pip install 'kdray[ray-serve]'", allow_module_level=True
    )

from ray import serve
from ray.serve.schema import ServeDeploySchema

from kdray.engines.ray.session import session
from kdray.serve.on_ray import RayServeSettings, application
from kdray.serve.server import TOKEN

FILE = Path(__file__).parents[2] / "cluster/serve.yaml"
SECRET = "a token of a test"


def test_the_file_is_one_of_ray_serve_and_of_this_application(monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Any = yaml.safe_load(FILE.read_text())
    (given,) = ServeDeploySchema.model_validate(plain).applications
    assert RayServeSettings.model_validate(given.args).loopback_only
    assert plain["http_options"]["host"] == "127.0.0.1"
    monkeypatch.delenv(TOKEN, raising=False)
    found = application(RayServeSettings.model_validate(given.args))
    assert given.import_path == "kdray.serve.on_ray:application"
    assert [each.name for each in given.deployments] == [found._bound_deployment.name]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"model": "/b"}, "needs a token: set KDRAY_SERVE_TOKEN"),
        ({"model": "b", "loopback_only": True}, "give an absolute path"),
        ({"model": "/b", "token": SECRET}, "Ray Serve shows the args"),
    ],
)
def test_a_service_that_anyone_could_use_is_refused(
    args: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(ConfigError, match=said):
        application(RayServeSettings.model_validate(args))


@pytest.mark.ray
@pytest.mark.slow
def test_replicas_answer_through_the_proxy_with_the_token_alone(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    with session(None):
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": 18431})
            serve.run(application(RayServeSettings(model=str(bundle))), name="kdray")
            with httpx.Client(base_url="http://127.0.0.1:18431", timeout=30) as client:
                assert client.get("/healthz").json()["status"] == "ok"
                asked = {"json": {"texts": ["good film", "bad film"]}}
                assert client.post("/predict", **asked).status_code == 401
                answer = client.post("/predict", **asked, headers={"Authorization": f"Bearer {SECRET}"})
            assert len(answer.json()["predictions"]) == 2
        finally:
            serve.shutdown()
