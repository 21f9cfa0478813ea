"""The table before a run: what it says of clusters that are only described here."""

from pathlib import Path
from typing import Any

import pytest
import ray

from kdray.config import RunConfig, parse
from kdray.engines.ray import engine, plan
from kdray.engines.ray.engine import OnRay
from kdray.engines.ray.plan import PlannedWork, Trials
from kdray.errors import ConfigError


def cluster(monkeypatch: pytest.MonkeyPatch, *, nodes: int, cpus: int, gpus: int, memory: float = 64e9) -> None:
    """Of equal nodes that have so many CPUs and GPUs together."""
    each = {"CPU": cpus / nodes, "GPU": gpus / nodes, "memory": memory}
    of_nodes(monkeypatch, *[each] * nodes)


def of_nodes(monkeypatch: pytest.MonkeyPatch, *resources: dict[str, float]) -> None:
    have = {name: sum(each.get(name, 0) for each in resources) for name in ("CPU", "GPU")}
    monkeypatch.setattr(ray, "cluster_resources", lambda: have)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": each} for each in resources])
    for module in (engine, plan):
        monkeypatch.setattr(module, "living_nodes", lambda: len(resources))


def run(encoder: Path, **settings: Any) -> RunConfig:
    teachers = [{"name": name, "encoder": str(encoder)} for name in ("a", "b")]
    student = {"encoder": str(encoder), "layers": 1}
    return parse({"teachers": teachers, "student": student, **settings}, source="test")


def planned(run: RunConfig, trials: Trials | None = None) -> dict[str, PlannedWork]:
    return {share.work: share for share in plan.plan(run, OnRay(run.work), trials)}


def test_trials_share_gpus(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, nodes=2, cpus=16, gpus=2)
    found = planned(run(tiny_encoder, work={"workers": 2}), Trials("trials", 24, 1, 0.25))
    trials = found["trials"]
    assert (trials.processes, trials.at_once, trials.cpus, trials.gpus) == (24, 8, 1, 0.25)
    teachers = found["2 teachers, one after the other"]
    assert (teachers.at_once, teachers.cpus, teachers.gpus) == (2, 8, 1)
    asked = found["outputs, embeddings, at most"]
    assert (asked.at_once, asked.gpus) == (2, 1)


def test_the_plan_lists_confirmation_and_intermediate_tasks(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, nodes=1, cpus=4, gpus=0)
    teachers = [{"name": "a", "encoder": str(tiny_encoder), "init_from": "mnli"}]
    teachers.append({"name": "b", "encoder": str(tiny_encoder)})
    found = planned(run(tiny_encoder, teachers=teachers), Trials("trials", 3, 2, 0.0, confirmation=15))
    assert "2 teachers, one after the other, 1 with an intermediate task" in found
    assert (found["confirmation, at most"].processes, found["confirmation, at most"].at_once) == (15, 2)


def test_no_more_at_once_than_there_are(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, nodes=1, cpus=16, gpus=0)
    assert planned(run(tiny_encoder), Trials("trials", 3, 1, 0.0))["trials"].at_once == 3


def test_what_a_cluster_can_never_give_is_refused(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, nodes=1, cpus=2, gpus=0)
    with pytest.raises(
        ConfigError, match=r"a trial needs 4 CPUs and 0 GPUs on one node, there is 1 node of 2 CPUs and 0"
    ):
        planned(run(tiny_encoder), Trials("trials", 3, 4, 0.0))
    with pytest.raises(ConfigError, match=r"work.workers = 3 with 1 CPUs .* 1 node of 2 CPUs .*; lower work.workers"):
        planned(run(tiny_encoder, work={"workers": 3, "cpus": 1}))


def test_what_no_single_node_can_give_is_refused(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes have it together, and whoever waited for it would wait for ever."""
    cluster(monkeypatch, nodes=2, cpus=4, gpus=2)
    with pytest.raises(ConfigError, match=r"a trial needs 3 CPUs .* there are 2 nodes of 2 CPUs and 1 GPU; lower"):
        planned(run(tiny_encoder), Trials("trials", 3, 3, 0.0))
    with pytest.raises(ConfigError, match="2 GPUs on one node"):
        planned(run(tiny_encoder), Trials("trials", 3, 1, 2.0))
    with pytest.raises(ConfigError, match=r"work.workers = 2 .* do not fit"):
        planned(run(tiny_encoder, work={"workers": 2, "cpus": 1, "gpus": 2}))


def test_unlike_nodes_are_counted_one_by_one(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_nodes(monkeypatch, {"CPU": 2}, {"CPU": 9, "GPU": 2}, {"CPU": 5, "GPU": 1})
    shown = planned(run(tiny_encoder, work={"workers": 3}), Trials("trials", 99, 2, 0.0))
    assert shown["trials"].at_once == 1 + 4 + 2
    teachers = shown["2 teachers, one after the other"]
    assert (teachers.cpus, teachers.gpus) == (4, 1)  # two on the second node, one on the third
    assert planned(run(tiny_encoder), Trials("trials", 99, 1, 0.4))["trials"].at_once == 6  # two a GPU


def test_teachers_in_the_step_count_in_its_memory(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, nodes=1, cpus=2, gpus=0)
    cached = planned(run(tiny_encoder, method={"name": "kd"}))["student"].memory
    beside = planned(run(tiny_encoder, method={"name": "minilm"}, prune={"policy": "none"}))["student"].memory
    assert beside - cached == 4 * plan.folder_info(tiny_encoder).parameters()


def test_without_a_teacher_there_is_only_the_student(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, nodes=1, cpus=2, gpus=0)
    assert list(planned(run(tiny_encoder, method={"name": "finetune"}))) == ["student"]


def test_a_warning_names_what_may_not_fit(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, nodes=2, cpus=16, gpus=0, memory=3e9)
    shares = list(planned(run(tiny_encoder), Trials("trials", 24, 1, 0.0)).values())
    (said,) = [sentence for sentence in plan.warnings(shares) if sentence.startswith("trials")]
    assert said.startswith("trials: 8 at once on one node may need 4 GB, the smallest node has 3 GB")
    cluster(monkeypatch, nodes=2, cpus=16, gpus=0, memory=40e9)
    assert plan.warnings(shares) == []
