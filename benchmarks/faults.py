"""What is lost when something breaks: `python benchmarks/faults.py --faults worker,node --works prune,sweep`.

Two nodes of one processor each on this machine do each kind of work undisturbed, and again from the same store with one
fault in its middle: a worker process killed; a node killed and five seconds later replaced; the driver killed and the
command given again; the head's control service killed and started again over what it had stored (all else on the head
works on); the object store silent for 30 seconds; the disk full until the command has ended, then the command given
again. What came out must be equal: files byte by byte, trainings to the weight, sweeps in settings and scores of their
trials. Printed: how each command ended, and how many seconds more than undisturbed all took together. A full disk is a
small file system in memory, which root may mount; an object store is moto's server, and a sweep in it has its study in
the machine's own PostgreSQL.
"""

import argparse
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from family import database
from prune import cut_encoder

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.errors import ConfigError, RunError
from kdray.store import Artifact, Store

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))  # for the object store that the tests use

NODE = {"num_cpus": 1, "object_store_memory": 200_000_000}
REPLACED_AFTER = SERVICE_BACK_AFTER = 5.0
SILENT = 30.0
DISK_MIB = 1_000
LIMIT = 900.0
ACCESS = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
FAULTS = ("worker", "node", "driver", "head", "store", "disk")
WORKS = ("teach", "outputs", "prune", "distill", "sweep")
BEFORE = {"outputs": "teach", "distill": "outputs", "sweep": "outputs"}
MAPS = ("outputs", "prune")  # of more rows, because each takes so little time
TRAIN = {"epochs": 4, "learning_rate": 1e-4, "batch_size": 32, "max_length": 32}


@dataclass
class Nodes:
    """A head whose control service keeps what it knows on disk, and one more node."""

    cluster: Any
    second: Any

    def workers(self) -> list[psutil.Process]:
        """Processes with a task or an actor, those that work hardest first."""
        found: list[tuple[float, psutil.Process]] = []
        for process in psutil.Process().children(recursive=True):
            try:
                words = process.cmdline()
                if words and words[0].startswith("ray::") and not words[0].startswith("ray::IDLE"):
                    found.append((sum(process.cpu_times()[:2]), process))
            except psutil.Error:
                continue
        time.sleep(0.5)
        rates: list[tuple[float, psutil.Process]] = []
        for before, process in found:
            with _gone():
                rates.append((sum(process.cpu_times()[:2]) - before, process))
        return [process for _, process in sorted(rates, key=lambda one: -one[0])]


@contextmanager
def _gone() -> Iterator[None]:
    """A process may end while it is looked at."""
    try:
        yield
    except psutil.Error:
        return


@dataclass
class Scene:
    """One work in one place: the command, its store, and what can be broken there.

    Attributes:
        server: The object store, where the store is in one.
        disk: The small file system, where the store is on one.
    """

    work: str
    uri: str
    nodes: Nodes
    command: list[str]
    log: Path
    environment: dict[str, str]
    server: Any = None
    disk: Path | None = None
    ends: list[str] = field(default_factory=list[str])

    @property
    def store(self) -> Store:
        return Store(self.uri)

    def in_the_middle(self) -> bool:
        """Something of the work is done, and not all."""
        if self.work == "sweep":
            return len(self.store.artifacts("distill")) > 0
        work = self.store.children("work")
        if self.work in ("teach", "distill"):
            return any(self.store.exists(f"work/{each}/latest.json") for each in work)
        return any(self.store.children(f"work/{each}/{inner}") for each in work for inner in self._folders(each))

    def _folders(self, each: str) -> list[str]:
        return [inner for inner in self.store.children(f"work/{each}") if "." not in inner]

    def start(self, *more: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as out:
            return subprocess.Popen(
                [*self.command, *more], stdout=out, stderr=out, env=self.environment, start_new_session=True
            )

    def until_the_middle(self, driver: "subprocess.Popen[bytes]") -> None:
        end = time.monotonic() + LIMIT
        while not self.in_the_middle():
            if driver.poll() is not None or time.monotonic() > end:
                raise RunError(f"{self.work} ended before it could be disturbed; look into {self.log}")
            time.sleep(0.1)

    def still_at_work(self, driver: "subprocess.Popen[bytes]") -> None:
        """The fault would otherwise come too late to be one."""
        is_done = self.work != "sweep" and bool(self.store.artifacts(self.work))
        if is_done or driver.poll() is not None:
            raise RunError(f"{self.work} was done before it could be disturbed; give it more rows.")

    def end(self, driver: "subprocess.Popen[bytes]") -> int:
        try:
            code = driver.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(driver.pid, signal.SIGKILL)
            code = driver.wait()
            self.ends.append(f"hung for {LIMIT:g} s")
            return code
        self.ends.append("killed" if code == -signal.SIGKILL else f"exit {code}")
        return code

    def again(self) -> "subprocess.Popen[bytes]":
        return self.start(*(["--resume", "--retry-failed"] if self.work == "sweep" else []))


def _undisturbed(scene: Scene) -> None:
    if scene.end(scene.start()):
        raise RunError(f"{scene.work} failed undisturbed:\n{scene.log.read_text()[-2000:]}")


def _worker(scene: Scene) -> None:
    driver = scene.start()
    scene.until_the_middle(driver)
    workers = scene.nodes.workers()
    scene.still_at_work(driver)
    workers[0].kill()
    scene.end(driver)


def _node(scene: Scene) -> None:
    driver = scene.start()
    scene.until_the_middle(driver)
    scene.still_at_work(driver)
    nodes = scene.nodes
    nodes.cluster.remove_node(nodes.second, allow_graceful=False)
    time.sleep(REPLACED_AFTER)
    nodes.second = nodes.cluster.add_node(**NODE)
    scene.end(driver)


def _driver(scene: Scene) -> None:
    driver = scene.start()
    scene.until_the_middle(driver)
    os.killpg(driver.pid, signal.SIGKILL)
    scene.end(driver)
    scene.end(scene.again())


def _head(scene: Scene) -> None:
    driver = scene.start()
    scene.until_the_middle(driver)
    scene.still_at_work(driver)
    head = scene.nodes.cluster.head_node
    head.kill_gcs_server()
    time.sleep(SERVICE_BACK_AFTER)
    head.start_gcs_server()
    scene.end(driver)


def _store(scene: Scene) -> None:
    driver = scene.start()
    scene.until_the_middle(driver)
    scene.still_at_work(driver)
    with scene.server.silent():
        time.sleep(SILENT)
    scene.end(driver)


def _disk(scene: Scene) -> None:
    driver = scene.start()
    scene.until_the_middle(driver)
    assert scene.disk is not None
    filler = scene.disk / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(2**16))
        except OSError:
            pass
    code = scene.end(driver)
    filler.unlink()
    if code:
        scene.end(scene.again())


ACTS: dict[str, Callable[[Scene], None]] = {
    "worker": _worker,
    "node": _node,
    "driver": _driver,
    "head": _head,
    "store": _store,
    "disk": _disk,
}


def main() -> None:
    arguments = _parser().parse_args()
    faults, works = _chosen(arguments.faults, FAULTS), _chosen(arguments.works, WORKS)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="kdray-faults-") as scratch:
        bench = Bench(arguments, Path(scratch))
        for work in works:
            for fault in faults:
                rows.append(bench.cell(work, fault))
                Path(arguments.out).write_text(json.dumps({"command": sys.argv, "rows": rows}, indent=1) + "\n")
        print(table(rows))
        wrong = [f"{row['work']} with {row['fault']}: {row['result']}" for row in rows if row["result"] != "equal"]
    if wrong:
        raise RunError("; ".join(wrong))


class Bench:
    """Runs the cells; what is undisturbed is run once for each work and kind of store."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self._arguments = arguments
        self._folder = folder
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1"} | ACCESS
        self._encoder = cut_encoder(1, folder)
        self._before: dict[tuple[str, int], Path] = {}
        self._whole: dict[tuple[str, str], tuple[float, Any]] = {}

    def cell(self, work: str, fault: str) -> dict[str, Any]:
        kind = fault if fault in ("store", "disk") else "folder"
        place = "store" if kind == "store" else "folder"  # a small disk in memory takes no longer
        if (work, place) not in self._whole:
            self._whole[work, place] = self._once(work, place, "none", _undisturbed)[:2]
        expected_seconds, expected = self._whole[work, place]
        seconds, found, ends, last = self._once(work, kind, fault, ACTS[fault])
        same = "equal" if found == expected and found else _difference(expected, found)
        row: dict[str, Any] = {"work": work, "fault": fault, "ends": ", then ".join(ends), "result": same}
        row |= {"undisturbed s": round(expected_seconds, 1), "more s": round(seconds - expected_seconds, 1)}
        print(json.dumps(row | {"said": last}), flush=True)
        return row

    def _once(
        self, work: str, kind: str, fault: str, act: Callable[[Scene], None]
    ) -> tuple[float, Any, list[str], str]:
        name = f"{work}-{fault}-{kind}"
        local = self._base(work, self._folder / name)
        with ExitStack() as stack:
            uri, place = stack.enter_context(self._place(kind, name))  # first, for its keys in the nodes' environment
            nodes = stack.enter_context(_cluster(self._folder / f"gcs-{name}"))
            if kind == "store":
                for child in local.iterdir():
                    Store(uri).copy_in(child, child.name)
            elif kind == "disk":
                shutil.copytree(local, uri, dirs_exist_ok=True)
            scene = self._scene(work, str(local) if kind == "folder" else uri, nodes, name, **place)
            if kind == "store" and work == "sweep":
                scene.command += ["--storage", stack.enter_context(database())]
            begun = time.monotonic()
            act(scene)
            return time.monotonic() - begun, _result(scene), scene.ends, scene.log.read_text().strip()[-300:]

    def _place(self, kind: str, name: str) -> AbstractContextManager[tuple[str, dict[str, Any]]]:
        if kind == "store":
            return _object_store(self._folder / f"server-{name}", self._environment)
        if kind == "disk":
            return _small_disk(self._folder / f"disk-{name}")
        return nullcontext(("", {}))

    def _base(self, work: str, folder: Path) -> Path:
        """A store in which everything before the work is done."""
        if before := BEFORE.get(work):
            key = (before, self._rows(work))
            if key not in self._before:
                self._before[key] = self._made(before, work)
            shutil.copytree(self._before[key], folder)
        else:
            folder.mkdir()
        return folder

    def _made(self, before: str, work: str) -> Path:
        name = f"before-{work}"
        folder = self._base(before, self._folder / name) if before != "outputs" else self._folder / name
        with _cluster(self._folder / f"gcs-{name}") as nodes:
            _undisturbed(self._scene(before, str(folder), nodes, name, settings=work))
        return folder

    def _rows(self, work: str) -> int:
        return self._arguments.mapped_rows if work in MAPS else self._arguments.rows

    def _scene(
        self, work: str, uri: str, nodes: Nodes, name: str, *, settings: str | None = None, **place: Any
    ) -> Scene:
        """
        Args:
            settings: The work with whose settings this one is done; None is itself.
        """
        address = ["--address", nodes.cluster.address]
        run = self._run(settings or work)
        if work == "sweep":
            sweep = [str(ROOT / "sweeps" / "tune_sst2.py"), "--corpus", "sst2", "--store", uri, "--name", "faults"]
            flags = ["--trials", str(self._arguments.trials), "--seeds", "1", "--pruning", "none"]
            given = [f"{key}={json.dumps(value)}" for key, value in run.items() if key != "work"]
            command = [sys.executable, *sweep, *flags, *address, *given, "train.epochs=2"]
        else:
            file = self._folder / f"{name}.yaml"
            file.write_text(yaml.safe_dump(run))
            command = [sys.executable, "-m", "kdray.cli", work, str(file), f"store={uri}", *address]
        return Scene(work, uri, nodes, command, self._folder / f"{name}.log", self._environment, **place)

    def _run(self, work: str) -> dict[str, Any]:
        encoder = str(self._encoder)
        return {
            "corpus": {"name": "sst2", "limit": self._rows(work)},
            "teachers": [{"name": "t", "encoder": encoder, "train": TRAIN | ({"epochs": 1} if work in MAPS else {})}],
            "outputs": {"quality_check": False},
            "student": {"encoder": encoder, "layers": 1},
            "prune": {"policy": "lower_tail", "level": "row", "embedders": encoder, "keep_medoids": "star"},
            "train": TRAIN,
            "work": {"workers": 2, "actors": 2, "block_rows": 1024},
        }


def _result(scene: Scene) -> Any:
    """What came out, without times."""
    if scene.work == "sweep":
        document = scene.store.read_json("sweeps/faults/result.json") or {"trials": []}
        trials = [[trial["params"], trial["state"], trial["value"]] for trial in document["trials"]]
        return sorted(trials, key=str)  # one that was tried again has a new number
    stages = {"prune": ("prune", "embeddings"), "outputs": ("outputs",)}.get(scene.work, (scene.work,))
    return {f"{a.where}/{name}": digest for s in stages for a in scene.store.artifacts(s) for name, digest in _of(a)}


def _of(artifact: Artifact) -> list[tuple[str, str]]:
    """Digests of an artifact's files; of a training's result, all but its times."""
    found: list[tuple[str, str]] = []
    for path in sorted(path for path in artifact.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "manifest.json":
            continue
        if path.name == "result.json":
            document = json.loads(content)
            kept = [document["metrics"], [[epoch["score"], epoch["loss"]] for epoch in document["history"]]]
            content = json.dumps(kept).encode()
        found.append((str(path.relative_to(artifact.folder)), hashlib.sha256(content).hexdigest()))
    return found


def _difference(expected: Any, found: Any) -> str:
    if not found:
        return "nothing came out"
    if isinstance(expected, dict):
        other = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        return f"other: {', '.join(other)}"
    return f"{found} instead of {expected}"


@contextmanager
def _cluster(folder: Path) -> Iterator[Nodes]:
    """Ray's test cluster with a control service that outlives its process."""
    os.environ.update(ACCESS, RAY_gcs_storage="rocksdb", RAY_gcs_storage_path=str(folder), RAY_worker_niceness="0")
    from ray.cluster_utils import Cluster

    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "dashboard_port": port})
    try:
        second = cluster.add_node(**NODE)
        cluster.wait_for_nodes()
        yield Nodes(cluster, second)
    finally:
        cluster.shutdown()


@contextmanager
def _object_store(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    import objects

    folder.mkdir()
    environment.update(objects.ENVIRONMENT)
    os.environ.update(objects.ENVIRONMENT)
    with objects.serving(folder) as server:
        yield server.uri("bucket/inner"), {"server": server}


@contextmanager
def _small_disk(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "kdray-faults", folder], check=False)
    if mounted.returncode:
        raise ConfigError("a small file system cannot be mounted; only root may, so leave disk out of --faults.")
    try:
        yield str(folder / "store"), {"disk": folder}
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _chosen(told: str, known: tuple[str, ...]) -> list[str]:
    found = told.split(",")
    if unknown := [name for name in found if name not in known]:
        raise ConfigError(f"{', '.join(unknown)} is none of {', '.join(known)}.")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--rows", type=int, default=800, help="of trainings")
    parser.add_argument("--mapped-rows", type=int, default=8_000, help="of outputs and pruning")
    parser.add_argument("--trials", type=int, default=3, help="few: later ones are chosen by which ended first")
    parser.add_argument("--out", default="faults.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))
