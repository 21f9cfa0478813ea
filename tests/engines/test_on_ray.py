"""On Ray: the same results as in process, and what happens when something is killed. One session for the file."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import tiny
from commands import sweep_command

from kdray.api.trials import best_trial, run_trial
from kdray.config import PruneSection, RunConfig, WorkSettings, parse
from kdray.corpora import CorpusSettings
from kdray.stages import Context, InProcess, prepare, prune, read, resumable_map, teach
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


def run_config(store: Path, encoder: Path, corpus: Path, *, epochs: int = 1, **work: Any) -> RunConfig:
    train = tiny.training(epochs)
    teachers = [tiny.teacher(encoder, train=train)]
    return tiny.run_config(encoder, corpus, store=str(store), teachers=teachers, train=train, work=work)


def taught(run: RunConfig, engine: Any) -> Artifact:
    context = Context(Store(run.store), engine, None)
    return teach(run.teachers[0], read(run.corpus, context), context)


def same_result(one: Artifact, other: Artifact) -> None:
    assert one.digest == other.digest
    a, b = result_of(one), result_of(other)
    assert a["metrics"] == b["metrics"]
    assert [e["score"] for e in a["history"]] == [e["score"] for e in b["history"]]
    assert [e["loss"] for e in a["history"]] == pytest.approx([e["loss"] for e in b["history"]], rel=1e-5)


def test_outputs_by_ray_data_are_those_of_one_process(
    ray_session: Any, tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    from kdray.engines.ray.engine import OnRay

    found = {}
    for place in ("here", "ray"):
        teachers = [tiny.given_teacher(tmp_path / "teacher")]
        run = tiny.run_config(tiny_encoder, tiny_corpus, store=str(tmp_path / place), teachers=teachers)
        engine = InProcess() if place == "here" else OnRay(run.work)
        prepared = prepare(run, Context(Store(run.store), engine, None))
        found[place] = prepared.teachers[0].outputs.open(Store(run.store))
    assert found["here"].digest == found["ray"].digest
    for name in ("train.logits.npy", "test.cls.npy", "validation.sent_emb.npy"):
        assert found["here"].file(name).read_bytes() == found["ray"].file(name).read_bytes()


def test_a_line_tells_what_a_busy_cluster_has_to_free(
    ray_session: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    from kdray.engines.ray import engine, resources

    have = int(ray.cluster_resources()["CPU"])
    holder = ray.remote(num_cpus=have)(type("Holder", (), {"ready": lambda self: None})).remote()
    ray.get(holder.ready.remote())
    missing = resources.busy(1, 1, 0, seconds=0)
    assert missing == f"1 CPU (0 of {have} are free)"
    ray.kill(holder)
    assert resources.busy(1, 1, 0, seconds=30) is None
    monkeypatch.setattr(engine, "busy", lambda *_: missing)
    with caplog.at_level("INFO"):
        assert list(engine.OnRay(WorkSettings()).run_many([-1], abs, titles=["abs"], cpus=1, gpus=0)) == [(0, 1)]
    assert f"abs: waits for {missing}" in caplog.text


@pytest.mark.parametrize(("actors", "block_rows"), [(1, 100), (2, 10_000)])
def test_pruning_by_ray_data_gives_the_bytes_of_one_process(
    ray_session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actors: int, block_rows: int
) -> None:
    from kdray.engines.ray.engine import OnRay

    monkeypatch.setattr(sys.modules["kdray.stages.prune"], "FEW", 0)
    monkeypatch.setattr(resumable_map, "PART_ROWS", 50)
    corpus = CorpusSettings.model_validate({"name": "sample"})
    section = PruneSection.model_validate({"policy": "lower_tail", "keep_medoids": "none", "level": "sentence"})
    found: dict[str, dict[str, bytes]] = {}
    for place, engine in (("here", InProcess()), ("ray", OnRay(WorkSettings(actors=actors, block_rows=block_rows)))):
        context = Context(Store(str(tmp_path / place)), engine, None)
        made = prune(section, read(corpus, context), [], context)
        found[place] = {file.name: file.read_bytes() for file in made.folder.iterdir() if file.name != "manifest.json"}
    assert "decisions.parquet" in found["here"]
    assert found["here"] == found["ray"]


def test_killed_worker_is_started_again_and_ends_with_the_same_metrics(
    ray_session: Any, tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    from threading import Thread

    from kdray.engines.ray.engine import OnRay

    whole = taught(run_config(tmp_path / "whole", tiny_encoder, tiny_corpus, epochs=60), InProcess())
    run = run_config(tmp_path / "killed", tiny_encoder, tiny_corpus, epochs=60)
    killed: list[int] = []
    hunter = Thread(target=_kill_worker_after_a_checkpoint, args=(Path(run.store), killed))
    hunter.start()
    artifact = taught(run, OnRay(run.work))
    hunter.join()
    assert killed, "no worker was killed"
    same_result(artifact, whole)


def _kill_worker_after_a_checkpoint(store: Path, killed: list[int]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and not killed:
        if list(store.glob("work/*/latest-*/checksums.json")):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):  # it may end while we look at it
                    if " ".join(process.cmdline()).startswith("ray::teach_folder_opinions_t_worker"):
                        process.send_signal(signal.SIGKILL)
                        killed.append(process.pid)
        time.sleep(0.02)


def test_a_comparison_trains_every_variant_on_every_seed_and_resumes(
    ray_session: Any, tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path
) -> None:
    from kdray.engines.ray.engine import OnRay
    from kdray.experiments.compare import compare
    from kdray.experiments.documents import Provenance

    teachers = [tiny.given_teacher(tmp_path / "teacher")]
    run = tiny.run_config(tiny_encoder, tiny_corpus, store=str(tmp_path / "compared"), teachers=teachers)
    variants = {"warm": {"method": {"name": "kd"}}, "cold": {"method": {"name": "kd", "temperature": 1.0}}}

    def compared(store: str, engine: Any) -> tuple[dict[str, Any], list[tuple[str, bool]]]:
        context = Context(Store(store), engine, None)
        document = compare(
            "c",
            variants,
            run.model_copy(update={"store": store}),
            context,
            seeds=range(2),
            cpus=1,
            gpus=0.0,
            provenance=Provenance("x", "command", "command"),
        )
        return document, [(entry["stage"], entry["reused"]) for entry in context.journal]

    first, _ = compared(run.store, OnRay(run.work))
    rows = {row["label"]: row for row in first["confirmation"]}
    assert list(rows) == ["warm", "cold", "no-KD baseline"]
    assert all(len(set(row["runs"])) == 2 and len(row["test"]["values"]) == 2 for row in rows.values())
    assert rows["warm"]["runs"] != rows["cold"]["runs"]
    assert rows["warm"]["difference"]["to"] == "no-KD baseline"
    assert rows["no-KD baseline"]["difference"] is None
    stored = json.loads((tmp_path / "compared" / "sweeps" / "c" / "result.json").read_text())
    assert stored["kind"] == "comparison"
    assert "Highest of 2 methods" in (tmp_path / "compared" / "sweeps" / "c" / "report.html").read_text()

    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "compared" / "distill").glob("*/manifest.json")}
    second, journal = compared(run.store, OnRay(run.work))
    assert all(reused for _, reused in journal)
    assert second["confirmation"] == first["confirmation"]
    assert made == {p: p.stat().st_mtime_ns for p in (tmp_path / "compared" / "distill").glob("*/manifest.json")}
    local, _ = compared(str(tmp_path / "local"), InProcess())
    assert scores_of(local) == scores_of(first)


def scores_of(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = document["confirmation"]
    return [(row["label"], row["runs"], row["validation"], row["test"], row["difference"]) for row in rows]


def trials_of(store: Path) -> list[optuna.trial.FrozenTrial]:
    database = store / "sweeps" / "s" / "study.db"
    if not database.exists():
        return []
    try:
        return optuna.load_study(study_name="s", storage=f"sqlite:///{database}").trials
    except Exception:  # the driver is just making it
        return []


def test_a_killed_sweep_resumes_and_loses_no_finished_trial(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    environment = {**os.environ, "KDRAY_DATA": ""}
    end = time.monotonic() + 600
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(sweep_command(store, tiny_encoder), env=environment, stdout=log, stderr=log) as driver,
    ):
        try:
            while not any(t.state.name == "COMPLETE" for t in trials_of(store)):
                assert driver.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < end, (tmp_path / "log").read_text()
                time.sleep(0.2)
        finally:
            driver.send_signal(signal.SIGKILL)
    before = {t.number: t.value for t in trials_of(store) if t.state.name == "COMPLETE"}
    again = subprocess.run(
        sweep_command(store, tiny_encoder, "--resume"), env=environment, capture_output=True, text=True, timeout=600
    )
    assert again.returncode == 0, again.stderr
    document = json.loads((store / "sweeps" / "s" / "result.json").read_text())
    ended = {trial["number"]: trial for trial in document["trials"]}
    assert sorted(ended) == [trial.number for trial in trials_of(store)] == [0, 1, 2, 3]
    assert before.items() <= {number: trial["value"] for number, trial in ended.items()}.items()
    assert all(trial["state"] in ("complete", "pruned") for trial in ended.values())
    labels = [row["label"] for row in document["confirmation"]]
    assert labels[0].startswith("winner (")
    assert "no-KD baseline" in labels
    assert any("defaults, trial 0: kd" in label for label in labels)
    assert document["corpus"]["is_sample"]
    assert "sample" in (store / "sweeps" / "s" / "report.html").read_text()
    assert "reused" in again.stderr

    best = document["best"]
    monkeypatch.setenv("KDRAY_DATA", "")
    told = best_trial("s", store=str(store), export=tmp_path / "mine")
    assert told["trial"] == best["number"] == document["selection"]["winner"]
    assert (tmp_path / "mine" / "model.safetensors").is_file()
    once_more = run_trial("s", best["number"], store=str(store))
    assert once_more["validation"] == once_more["recorded validation"] == best["value"]
    assert once_more["test"] == ended[best["number"]]["test"]


MY_KD = """
from kdray.methods import Batch, KD, MethodOutput


class MyKD(KD):
    def terms(self, step: Batch) -> MethodOutput:
        return super().terms(step)
"""
MY_TASK = """
from kdray.tasks import SINGLE_LABEL, metric


class Mine(type(SINGLE_LABEL)):
    name = "mine"


@metric(higher_is_better=False)
def errors(targets, classes):
    return float((targets != classes).mean())


MINE = Mine()
"""


def test_a_method_from_a_file_trains_on_workers_that_do_not_have_the_file(
    ray_session: Any, tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    """By Ray Train and as a task: the bytes of one process, and never those of plain kd; so do its metric and task."""
    from kdray.engines.ray.engine import OnRay
    from kdray.experiments.confirm import Candidate, confirm
    from kdray.experiments.students import Shared
    from kdray.stages import distill

    file, task = tmp_path / "my_method.py", tmp_path / "my_task.py"
    file.write_text(MY_KD)
    task.write_text(MY_TASK)
    plain = run_config(tmp_path / "store", tiny_encoder, tiny_corpus).model_dump(mode="json")
    plain["corpus"] |= {"task": f"{task}:MINE", "metrics": [f"{task}:errors"]}
    run = parse(plain | {"method": {"name": f"{file}:MyKD", "temperature": 3}}, source="test")
    plain["corpus"] = run.corpus.model_dump(mode="json")
    file.unlink()
    task.unlink()
    here = Context(Store(run.store), InProcess(), None)
    prepared = prepare(run, here)
    by_train = distill(run, prepared, Context(here.store, OnRay(run.work), None), stage="elsewhere")
    by_task = confirm([Candidate("mine", run)], [0], Shared.of(prepared), OnRay(run.work), cpus=1, gpus=0)["mine"][0]
    mine = distill(run, prepared, here)
    kd = distill(parse(plain | {"method": {"name": "kd", "temperature": 3}}, source="test"), prepared, here)
    assert by_task["spec"]["method"]["name"] == run.method.name
    assert by_task["metric"] == f"{task}:errors"
    assert by_task["metrics"] == result_of(by_train)["metrics"] == result_of(mine)["metrics"]
    assert by_task["spec"]["digest"] == mine.digest != kd.digest
    files = [each.file("model") / "model.safetensors" for each in (by_train, mine)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert result_of(by_train)["spec"]["method"] == result_of(mine)["spec"]["method"]
