"""A search and a comparison in this process: no Ray process, and the results of one trial at a time."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import tagged
import tiny

from kdray.config import RunConfig, merge, parse
from kdray.engines import InProcess
from kdray.errors import ConfigError
from kdray.experiments.documents import Provenance
from kdray.experiments.local import OneByOne
from kdray.experiments.search import check, check_resumed, search
from kdray.experiments.settings import SearchResult, SweepSettings
from kdray.experiments.sweep import sweep
from kdray.experiments.trials import PRUNERS
from kdray.stages import Context, prepare
from kdray.store import Store

EPOCHS = 3


def space(trial: Any) -> dict[str, Any]:
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    return {"method.alpha": trial.suggest_float("alpha", 0, 1), "train.learning_rate": rate}


SETTINGS = SweepSettings(
    "s",
    space,
    [{"label": "defaults", "params": {"alpha": 0.5, "rate": 3e-3}}],
    trials=4,
)


def run_config(store: Path, encoder: Path, corpus: Path) -> RunConfig:
    teachers = [tiny.given_teacher(store.parent / "teacher")]
    return tiny.run_config(
        encoder, corpus, store=str(store), teachers=teachers, train=tiny.training(EPOCHS), method={"name": "kd"}
    )


def facts_of(found: SearchResult) -> list[dict[str, Any]]:
    """What a trial is, without when and where it ran."""
    kept = ("number", "state", "params", "value", "test", "parameters", "epochs", "history", "digest", "error", "label")
    return [{key: trial[key] for key in kept} for trial in found.trials]


def test_other_settings_are_refused_before_an_engine_starts(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path
) -> None:
    run = run_config(tmp_path / "store", tiny_encoder, tiny_corpus)
    check_resumed(SETTINGS, run, Store(run.store))
    assert Store(run.store).children("sweeps") == [], "the check made a folder"
    check(SETTINGS, run, Store(run.store), OneByOne())
    check_resumed(SETTINGS, run, Store(run.store))
    changed = parse(merge(run.model_dump(mode="json"), {"train.epochs": EPOCHS + 1}), source="test")
    with pytest.raises(ConfigError, match=r"sweep 's' began with other settings \(train\.epochs was "):
        check_resumed(SETTINGS, changed, Store(run.store))
    other = replace(SETTINGS, seed=SETTINGS.seed + 1)
    seeds = rf"--seed was {SETTINGS.seed}, is {other.seed}"
    with pytest.raises(ConfigError, match=rf"sweep 's' began with other settings \({seeds}\)"):
        check_resumed(other, run, Store(run.store))


def searched(
    run: RunConfig, settings: SweepSettings, driver: Any, engine: Any, command: str = "kdray sweep"
) -> SearchResult:
    context = Context(Store(run.store), engine, None)
    return search(settings, run, prepare(run, context, every_teacher=True), context, driver, command)


def test_a_sweep_in_this_process_searches_confirms_and_writes_its_documents(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_config(tmp_path / "store", tiny_encoder, tiny_corpus)
    context = Context(Store(run.store), InProcess(), None)
    caplog.set_level("INFO", logger="kdray")
    begun = {name for name in sys.modules if name.partition(".")[0] == "ray"}
    document = sweep(
        replace(SETTINGS, trials=3),
        run,
        context,
        seeds=[0],
        provenance=Provenance("x", "command", "command"),
        driver=OneByOne(),
    )
    assert {name for name in sys.modules if name.partition(".")[0] == "ray"} == begun
    assert [trial["number"] for trial in document["trials"]] == [0, 1, 2]
    assert document["trials"][0]["params"] == {"alpha": 0.5, "rate": 3e-3}
    assert "trial 0 starts: method.alpha 0.5, train.learning_rate 0.003" in caplog.messages
    best = f"best {max(trial['value'] for trial in document['trials'] if trial['state'] == 'complete'):.4f}"
    ends = [line for line in caplog.messages if re.match(r"trial \d (stopped early|validation [\d.]+); ", line)]
    assert [re.findall(r"; (\d of 3) ended", line) for line in ends] == [["1 of 3"], ["2 of 3"], ["3 of 3"]]
    assert ends[-1].endswith(f"0 running, {best}")
    labels = [row["label"] for row in document["confirmation"]]
    assert re.fullmatch(r"winner \((defaults, trial 0: kd|trial \d: kd)\)", labels[0])
    assert "no-KD baseline" in labels
    assert any("defaults, trial 0: kd" in label for label in labels)
    selection = document["selection"]
    assert selection["seeds"] == [0]
    assert {0} <= {each["number"] for each in selection["contenders"]} <= {0, 1, 2}
    assert document["best"]["number"] == selection["winner"]
    assert (tmp_path / "store" / "sweeps" / "s" / "report.html").exists()


def test_a_search_trains_students_that_tag_words(tmp_path: Path, tiny_encoder: Path) -> None:
    def narrow(trial: Any) -> dict[str, Any]:
        return {
            "method.alpha": trial.suggest_float("alpha", 0, 1),
            "student.width": trial.suggest_categorical("width", [8, 16]),
        }

    starts = [{"label": "defaults", "params": {"alpha": 0.5, "width": width}} for width in (8, 16)]
    folder = tagged.save(tmp_path / "films", train=48)
    settings = replace(SETTINGS, space=narrow, starts=starts, trials=2, pruning="none")
    run = parse(tagged.settings(tiny_encoder, folder, store=str(tmp_path / "store")), source="test")
    found = searched(run, settings, OneByOne(), InProcess())
    assert [trial["state"] for trial in found.trials] == ["complete"] * 2
    assert all(0 < trial["value"] <= 1 for trial in found.trials)
    assert found.trials[0]["parameters"] < found.trials[1]["parameters"]


def test_an_interrupted_search_resumes_as_the_unbroken_one(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path
) -> None:
    whole = run_config(tmp_path / "whole", tiny_encoder, tiny_corpus)
    broken = run_config(tmp_path / "broken", tiny_encoder, tiny_corpus)
    wanted = searched(whole, SETTINGS, OneByOne(), InProcess())
    calls = 0

    def breaks(trial: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return space(trial)

    with pytest.raises(KeyboardInterrupt):
        searched(broken, replace(SETTINGS, space=breaks), OneByOne(), InProcess())
    resumed = searched(broken, SETTINGS, OneByOne(), InProcess(), "kdray sweep --resume")
    assert facts_of(resumed) == facts_of(wanted)
    assert resumed.command == "kdray sweep", "the command that began the search"


def test_poor_trials_stop_after_the_epoch_that_decides(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_enough = optuna.pruners.ThresholdPruner(lower=2.0, n_warmup_steps=2)
    monkeypatch.setitem(PRUNERS, "median", lambda: never_enough)
    run = run_config(tmp_path / "store", tiny_encoder, tiny_corpus)
    found = searched(run, replace(SETTINGS, trials=2, pruning="median"), OneByOne(), InProcess())
    assert [(trial["state"], len(trial["history"]), trial["digest"]) for trial in found.trials] == [
        ("pruned", 2, None)
    ] * 2


def test_a_failed_trial_is_recorded_and_the_others_continue(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path
) -> None:
    def odd(trial: Any) -> dict[str, Any]:
        return {"method.temperature": -1.0 if trial.number == 1 else trial.suggest_float("t", 1, 2)}

    settings = replace(SETTINGS, space=odd, starts=[{"label": "defaults", "params": {"t": 1.5}}], trials=3)
    run = run_config(tmp_path / "store", tiny_encoder, tiny_corpus)
    found = searched(run, settings, OneByOne(), InProcess())
    assert [trial["state"] for trial in found.trials] == ["complete", "failed", "complete"]
    assert "temperature" in found.trials[1]["error"]


def test_trackers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trackers mlflow need Ray Tune"):
        OneByOne().at_once(replace(SETTINGS, trackers=["mlflow"]))


@pytest.mark.ray
@pytest.mark.slow
def test_ray_tune_with_one_trial_at_a_time_gives_the_same_trials(
    ray_session: Any, tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path
) -> None:
    from kdray.engines.ray.engine import OnRay
    from kdray.tuning.tune import RayTune

    run = run_config(tmp_path / "ray", tiny_encoder, tiny_corpus)
    alone = replace(SETTINGS, cpus=int(ray_session.cpus))
    assert RayTune().at_once(alone) == 1
    by_ray = searched(run, alone, RayTune(), OnRay(run.work))
    local = run_config(tmp_path / "local", tiny_encoder, tiny_corpus)
    here = searched(local, SETTINGS, OneByOne(), InProcess())
    assert facts_of(here) == facts_of(by_ray)
    assert len(here.trials) == 4
