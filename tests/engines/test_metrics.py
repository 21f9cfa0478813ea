"""kdray's numbers at the metrics ports of a real run, as Prometheus sees them, and the dashboard that shows them."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import tiny
import yaml

from kdray.engines.ray.engine import OnRay
from kdray.engines.ray.metrics import PREFIX
from kdray.engines.ray.session import dashboard, session
from kdray.metrics import METRIC_SPECS
from kdray.stages import Context, distill, prepare
from kdray.store import Store

MONITORING = Path(__file__).parents[2] / "cluster" / "monitoring"
WAIT_SECONDS = 60
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("dashboard")]
SHOWN = ["ray_kdray_rows_total", "ray_kdray_teacher_passes_total", "ray_kdray_artifacts_total", "ray_kdray_loss"]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_corpus: Path) -> Iterator[Path]:
    """A session in which a teacher, its outputs and a student were made; yields the file that lists its ports."""
    student = {"encoder": str(tiny_encoder), "layers": 2}
    store = str(tmp_path_factory.mktemp("metrics") / "store")
    run = tiny.run_config(tiny_encoder, tiny_corpus, store=store, student=student, method={"name": "kd"})
    with session(None):
        context = Context(Store(run.store), OnRay(run.work), None)
        distill(run, prepare(run, context), context)
        folder = ray._private.worker._global_node.get_session_dir_path()  # pyright: ignore
        yield Path(folder) / "prom_metrics_service_discovery.json"


def targets(found: Path) -> list[str]:
    """The ports; Ray lists them a moment after it has started."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if found.exists() and (groups := json.loads(found.read_text() or "[]")):
            return groups[0]["targets"]
        time.sleep(0.5)
    raise AssertionError(f"{found} lists no port")


def test_a_run_shows_what_it_did_at_its_metrics_port(worked: Path) -> None:
    end = time.monotonic() + WAIT_SECONDS
    lines: list[str] = []
    while time.monotonic() < end and not all(any(name in line for line in lines) for name in SHOWN):
        pages = [page_of(target) for target in targets(worked)]
        lines = [line for page in pages for line in page.splitlines() if line.startswith(f"ray_{PREFIX}")]
        time.sleep(0.2)
    values = {(name, stage): value for name, stage, value in map(parsed, lines)}
    assert 40 <= values["ray_kdray_rows_total", "teach"] < 48  # some are set aside for select
    assert values["ray_kdray_rows_total", "outputs"] >= 48
    assert values["ray_kdray_rows_total", "distill"] == values["ray_kdray_rows_total", "teach"]
    assert values["ray_kdray_teacher_passes_total", "outputs"] == values["ray_kdray_rows_total", "outputs"]
    assert values["ray_kdray_loss", "distill"] > 0
    assert 0 <= values["ray_kdray_score", "distill"] <= 1
    assert values["ray_kdray_artifacts_total", "corpus"] == 1
    assert any(re.search('method="kd".*task="folder.opinions"', line) for line in lines), lines
    of_outputs = [line for line in lines if 'stage="outputs"' in line and "artifacts" not in line]
    assert of_outputs
    assert all('task="folder-opinions"' in line for line in of_outputs), of_outputs


def page_of(target: str) -> str:
    """What a port shows; nothing while its agent has not opened it, which Ray lists before it is so."""
    with contextlib.suppress(ConnectionError, urllib.error.URLError):
        return urllib.request.urlopen(f"http://{target}/metrics", timeout=5).read().decode()
    return ""


def parsed(line: str) -> tuple[str, str, float]:
    """Name, stage and value of one line that Prometheus would read."""
    name, tags, value = re.fullmatch(r"(\w+)\{(.*)\} (\S+)( \d+)?", line).groups()[:3]  # pyright: ignore
    stage = re.search(r'stage="(\w*)"', tags)
    return name, stage[1] if stage else "", float(value)


def test_prometheus_scrapes_it(worked: Path, tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("no Prometheus on this machine (Debian: apt install prometheus)")
    targets(worked)
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    config["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(worked)]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with prometheus(tmp_path) as ask:
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end and not all(ask(name) for name in SHOWN):
            time.sleep(0.5)
        for name in SHOWN:
            assert ask(name), f"Prometheus never saw {name}"
        for expression in expressions():
            answer = ask(plain(expression))
            wanted = not re.search(r"kdray_(trials|gpu_memory)|rate\(|reused", expression)
            assert answer or not wanted, f"the dashboard's {expression} finds nothing"


@contextmanager
def prometheus(folder: Path) -> Iterator[Any]:
    """A server of its own; yields what an expression finds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        yield lambda expression: answer_of(address, expression)
    finally:
        server.terminate()
        server.wait()


def answer_of(address: str, expression: str) -> list[Any]:
    query = urllib.parse.urlencode({"query": expression})
    url = f"http://{address}/api/v1/query?{query}"
    with contextlib.suppress(ConnectionError, urllib.error.URLError), urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())["data"]["result"]
    return []  # it is just starting


def expressions() -> list[str]:
    dashboard = json.loads((MONITORING / "kdray.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def plain(expression: str) -> str:
    """With every variable of the dashboard at `All`."""
    return re.sub(r"\$\w+", ".*", expression.replace("$__range", "1h"))


def test_the_dashboard_listens_on_loopback(worked: Path) -> None:
    assert re.match(r"http://127\.0\.0\.1:\d+$", dashboard() or "")


def test_every_process_queries_its_own_cluster(worked: Path) -> None:
    class Asker:
        """Does what Train's cleaner does."""

        def ask(self) -> tuple[str, str]:
            from ray.util.state import get_actor

            found: Any = get_actor(ray.get_runtime_context().get_actor_id() or "", timeout=60)
            return os.environ["RAY_ADDRESS"], found.state

    asker: Any = ray.remote(Asker).remote()
    assert ray.get(asker.ask.remote()) == (ray.get_runtime_context().gcs_address, "ALIVE")


def test_the_dashboard_shows_every_meter_and_no_other() -> None:
    shown = {name for text in expressions() for name in re.findall(r"ray_kdray_(\w+?)(?:_total)?[{)\[]", text)}
    assert shown == set(METRIC_SPECS)


def test_the_configuration_is_one_that_prometheus_takes() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no Prometheus on this machine (Debian: apt install prometheus)")
    told = subprocess.run(
        ["promtool", "check", "config", str(MONITORING / "prometheus.yml")], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
