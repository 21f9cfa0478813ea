"""Two nodes of one processor each on this machine: who works where, and what a lost node costs. Asked for by itself:
`make cluster`."""

import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest
import tiny

from kdray.config import PruneSection, RunConfig, WorkSettings
from kdray.corpora import CorpusSettings
from kdray.errors import ConfigError
from kdray.stages import Context, InProcess, outputs, prune, read, teach
from kdray.stages.resumable_map import map_resumable, split_rows
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # Ray's test cluster leaves sockets
]
EPOCHS = 40
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 150_000_000}


@dataclass
class Nodes:
    """A head and one more node, which can be lost and replaced."""

    cluster: Any
    second: Any

    def lose(self) -> None:
        """As if its power went: every process of the node is killed."""
        self.cluster.remove_node(self.second, allow_graceful=False)

    def replace(self) -> None:
        self.second = self.cluster.add_node(**NODE)

    @staticmethod
    def of_actors(named: str) -> set[str]:
        """The nodes on which actors of a class have worked since the start."""
        import ray

        found: dict[str, Any] = ray._private.state.actors()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        return {actor["Address"]["NodeID"] for actor in found.values() if named in actor["ActorClassName"]} - {""}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    from ray.cluster_utils import Cluster

    from kdray.engines.ray.session import session

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "dashboard_port": port})
    second = cluster.add_node(**NODE)
    with session(cluster.address):
        yield Nodes(cluster, second)
    cluster.shutdown()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_opinions(tmp_path_factory.mktemp("two") / "opinions", train=80, test=24)


_small_ranges = tiny.ranges_of(8)


def run_config(corpus: Path, encoder: Path, *, epochs: int) -> RunConfig:
    return tiny.run_config(encoder, corpus, teachers=[tiny.teacher(encoder, epochs=epochs)])


def context(store: Path, engine: Any = None) -> Context:
    return Context(Store(str(store)), engine or InProcess(), None)


def files(artifact: Artifact) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in artifact.folder.iterdir() if path.name != "manifest.json"}


def test_outputs_and_pruning_work_on_both_nodes_and_give_the_same_bytes(
    nodes: Nodes, corpus: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from kdray.engines.ray.engine import OnRay

    monkeypatch.setattr(sys.modules["kdray.stages.prune"], "FEW", 0)
    run = run_config(corpus, tiny_encoder, epochs=1)
    here = context(tmp_path / "here")
    teacher = teach(run.teachers[0], read(run.corpus, here), here)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    section = PruneSection.model_validate(
        {"policy": "bottom_quintile", "level": "sentence", "embedders": str(tiny_encoder), "keep_medoids": "star"}
    )
    sample = CorpusSettings.model_validate({"name": "sample", "limit": 100})
    found: dict[str, list[dict[str, bytes]]] = {}
    for name, engine in (("here", InProcess()), ("there", OnRay(WorkSettings(actors=2, block_rows=8)))):
        at = context(tmp_path / name, engine)
        said = outputs(teacher, read(run.corpus, at), at, name="t", quality_check=False)
        found[name] = [files(said.outputs.open(at.store)), files(prune(section, read(sample, at), [], at))]
    assert found["here"] == found["there"]
    for kind in ("outputs_folder_opinions_t", "embed_sample_sentence"):
        assert len(nodes.of_actors(kind)) == 2, kind


def test_a_training_works_on_both_nodes(nodes: Nodes, corpus: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    from kdray.engines.ray.engine import OnRay

    run = run_config(corpus, tiny_encoder, epochs=2)
    at = context(tmp_path, OnRay(WorkSettings(workers=2, cpus=1)))
    found = result_of(teach(run.teachers[0], read(run.corpus, at), at))
    assert len(found["history"]) == 2
    assert len(nodes.of_actors("teach_folder_opinions_t_worker")) == 2


def test_a_node_lost_during_a_map_costs_only_its_present_blocks(nodes: Nodes, tmp_path: Path) -> None:
    import ray

    from kdray.engines.ray.engine import OnRay

    log, folder = tmp_path / "log", tmp_path / "store"
    log.mkdir()

    def slow() -> Callable[[pa.Table], pa.Table]:
        def apply(part: pa.Table) -> pa.Table:
            (log / f"{part['number'][0].as_py()}-{time.time_ns()}-{ray.get_runtime_context().get_node_id()}").touch()
            time.sleep(0.5)
            return pa.table({"double": [2 * number for number in part["number"].to_pylist()]})

        return apply

    parts = split_rows(pa.table({"number": range(320)}))
    at = context(folder, OnRay(WorkSettings(actors=2, block_rows=8)))
    hunter = Thread(target=_when, args=(lambda: len(list(folder.glob("work/*/slow/*"))) > 3, nodes.lose))
    hunter.start()
    work = at.store.work("0" * 64)
    found = pa.concat_tables(list(map_resumable(parts, slow, at, work, "slow", title="slow map")))
    hunter.join()
    nodes.replace()
    assert found["double"].to_pylist() == [2 * number for number in range(320)]
    begun, _, on = zip(*(path.name.split("-") for path in log.iterdir()), strict=True)
    assert len(set(begun)) == len(parts)
    assert len(set(on)) == 2
    assert len(begun) - len(parts) <= 4  # of what the lost node had made or had in hand and nobody had read yet


def test_a_node_lost_in_the_middle_of_a_training_costs_the_epoch_it_was_in(
    nodes: Nodes, corpus: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    """The group waits until there are two processors again, and goes on from the last checkpoint."""
    from kdray.engines.ray.engine import OnRay

    run = run_config(corpus, tiny_encoder, epochs=EPOCHS)
    found: dict[str, dict[str, Any]] = {}
    for name in ("whole", "broken"):
        at = context(tmp_path / name, OnRay(WorkSettings(workers=2, cpus=1)))
        read_corpus = read(run.corpus, at)
        with ThreadPoolExecutor(1) as aside:  # Ray starts nodes from the main thread alone
            taught = aside.submit(teach, run.teachers[0], read_corpus, at)
            if name == "broken":
                _when(
                    lambda store=tmp_path / name: bool(list(store.glob("work/*/latest-*/checksums.json"))), nodes.lose
                )
                assert not taught.done(), "it had ended before the node was lost"
                nodes.replace()
            found[name] = result_of(taught.result(600))
    assert found["broken"]["metrics"] == found["whole"]["metrics"]
    assert _scores(found["broken"]) == _scores(found["whole"])
    assert len(_scores(found["whole"])) == EPOCHS


def _scores(result: dict[str, Any]) -> list[tuple[float, float]]:
    return [(epoch["score"], epoch["loss"]) for epoch in result["history"]]


def _when(condition: Callable[[], bool], act: Callable[[], None]) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if condition():
            act()
            return
        time.sleep(0.02)
    raise TimeoutError("what was waited for did not come")


def test_a_store_that_a_node_does_not_see_is_refused(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kdray.engines.ray import sharing
    from kdray.engines.ray.engine import OnRay

    store = Store(str(tmp_path / "store"))
    sharing.check_shared(store)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "write_bytes", None)
        sharing.check_shared(store)  # writes nothing: each node was checked
    monkeypatch.setattr(Store, "uri_of", lambda self, where: f"{tmp_path}/elsewhere/{where}")
    monkeypatch.setattr(sharing, "DELAY_SECONDS", 0.0)
    with pytest.raises(ConfigError, match=r"is not shared: node .* does not see what this machine writes there; give"):
        sharing.check_shared(store)
    with pytest.raises(ConfigError, match="is not shared"):
        list(OnRay(WorkSettings()).run_many([1], abs, titles=["abs"], cpus=1, gpus=0, store=store.given))
    assert list(OnRay(WorkSettings()).run_many([-1], abs, titles=["abs"], cpus=1, gpus=0)) == [(0, 1)]
    assert not list((tmp_path / "store" / "work").iterdir())
