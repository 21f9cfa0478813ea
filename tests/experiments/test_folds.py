"""A sweep that compares its candidates on folds: what is trained, what is kept, what wins, and what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny

from kdray.config import RunConfig
from kdray.corpora import Fold
from kdray.engines import InProcess
from kdray.errors import ConfigError
from kdray.experiments import folds
from kdray.experiments.confirm import Candidate
from kdray.experiments.documents import Provenance
from kdray.experiments.folds import AUTO_FOLDS, check_folds, prepare_folds, train_by_fold
from kdray.experiments.local import OneByOne
from kdray.experiments.settings import SweepSettings
from kdray.experiments.sweep import sweep
from kdray.stages import Context, prepare
from kdray.store import Store

START = {"label": "defaults", "params": {"alpha": 0.5}}


def space(trial: Any) -> dict[str, Any]:
    return {"method.alpha": trial.suggest_float("alpha", 0, 1)}


def settings_of(number: Any, **more: Any) -> SweepSettings:
    return SweepSettings("s", space, [START], **{"trials": 2, "candidates": 2, "folds": number, **more})


def run_config(store: Path, encoder: Path, corpus: Path, **sections: Any) -> RunConfig:
    return tiny.run_config(encoder, corpus, store=str(store), method={"name": "kd"}, **sections)


def swept(run: RunConfig, settings: SweepSettings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The document, and the journal of stages."""
    context = Context(Store(run.store), InProcess(), None)
    provenance = Provenance("x", "command", "command")
    document = sweep(settings, run, context, seeds=[0], provenance=provenance, driver=OneByOne())
    return document, context.journal


def test_a_sweep_with_folds_trains_teachers_and_candidates_in_each_fold_and_resumes_from_the_store(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path
) -> None:
    run = run_config(tmp_path / "store", tiny_encoder, tiny_corpus)
    document, journal = swept(run, settings_of(2))
    made = {stage: [each for each in journal if each["stage"] == stage] for stage in ("corpus", "teach", "outputs")}
    assert {stage: len(entries) for stage, entries in made.items()} == {"corpus": 3, "teach": 3, "outputs": 3}
    assert len({each["digest"] for each in made["teach"]}) == 3

    selection = document["selection"]
    assert (selection["folds"], selection["seeds"]) == (2, [0])
    assert {each["number"] for each in selection["contenders"]} == {0, 1}
    store = tmp_path / "store"
    results = [json.loads(file.read_text()) for file in store.glob("distill/*/result.json")]
    corpora = {entry["digest"] for entry in made["corpus"][1:]}
    of_folds = [each for each in results if each["spec"]["corpus"]["digest"] in corpora]
    assert len(of_folds) == 4  # the defaults and trial 1 in two folds
    teachers = {each["spec"]["teachers"][0]["model"]["digest"] for each in of_folds}
    assert teachers == {each["digest"] for each in made["teach"][1:]}
    for candidate in selection["contenders"]:
        alphas = {0: 0.5, 1: document["trials"][1]["params"]["alpha"]}
        mine = [each for each in of_folds if each["spec"]["method"]["alpha"] == alphas[candidate["number"]]]
        scores = [each["metrics"]["validation"]["accuracy"] for each in mine]
        assert candidate["validation"] == pytest.approx(sum(scores) / 2)

    assert all(row["seeds"] == [0] for row in document["confirmation"])
    ordinary = {each["spec"]["digest"] for each in results if each not in of_folds}
    assert {digest for row in document["confirmation"] for digest in row["runs"]} <= ordinary
    verdict = "compared on 2 folds of train and validation"
    page = (store / "sweeps" / "s" / "report.md").read_text()
    assert f"candidates were {verdict}." in page
    assert f"1 candidate and the defaults were {verdict}: " in page

    again, journal = swept(run, settings_of(2))
    assert all(each["reused"] for each in journal)
    assert again["selection"] == selection


def test_a_sweep_without_folds_has_one_corpus_and_a_report_without_folds(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path
) -> None:
    document, journal = swept(run_config(tmp_path / "store", tiny_encoder, tiny_corpus), settings_of(0))
    assert len([each for each in journal if each["stage"] == "corpus"]) == 1
    assert document["selection"]["folds"] == 0
    assert "folds of train" not in (tmp_path / "store" / "sweeps" / "s" / "report.md").read_text()


def trained(job: Any, title: str) -> dict[str, Any]:
    """A result that holds what was to be trained."""
    plain, shared, _ = job
    of = (plain["method"]["name"], plain["corpus"]["fold"]["index"], shared)
    return {"of": of, "metric": "accuracy", "metrics": {"validation": {"accuracy": 0.5}}}


def test_equal_candidates_are_trained_once_a_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds.Shared, "of", lambda prepared: prepared)
    run = tiny.run_config(tmp_path, tmp_path, method={"name": "kd"})
    other = tiny.run_config(tmp_path, tmp_path, method={"name": "finetune"})
    candidates = {0: Candidate("defaults", run), 4: Candidate("plain", other), 7: Candidate("same", run)}
    parts: Any = [SimpleNamespace(fold=Fold(index=index, of=2), prepared=f"fold {index}") for index in (0, 1)]
    engine = tiny.LastFirst(result=trained)
    found = train_by_fold(settings_of(2), candidates, parts, engine)
    assert {number: [each["of"] for each in results] for number, results in found.items()} == {
        number: [(method, index, f"fold {index}") for index in (0, 1)]
        for number, method in ((0, "kd"), (4, "finetune"), (7, "kd"))
    }
    assert engine.titles == [
        f"distill {title}, fold {fold} of 2" for fold in (1, 2) for title in ("kd, defaults", "finetune, plain")
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"predictions": "predictions.jsonl"}, r"folds = 3: teachers\.0\.predictions is set, and a teacher that kdray"),
        ({"encoder": "tuned", "fine_tuned": True}, r"folds = 3: teachers\.0\.fine_tuned is set, and a teacher that"),
    ],
)
def test_a_teacher_that_is_not_trained_here_is_refused(tmp_path: Path, change: Any, sentence: str) -> None:
    run = tiny.run_config(tmp_path, tmp_path, teachers=[{"name": "t", **change}])
    with pytest.raises(ConfigError, match=sentence):
        check_folds(settings_of(3), run)
    check_folds(settings_of("auto"), run)
    check_folds(settings_of(0), run)


def test_a_fold_of_the_run_is_refused_in_a_sweep_with_folds(tmp_path: Path) -> None:
    run = tiny.run_config(tmp_path, tmp_path, corpus=tiny.opinions(tmp_path) | {"fold": {"index": 0, "of": 2}})
    with pytest.raises(ConfigError, match=r"folds = 3: corpus\.fold is set, and a sweep with folds sets it itself"):
        check_folds(settings_of(3), run)


def of_folds(run: RunConfig, settings: SweepSettings) -> list[tuple[int, int]]:
    context = Context(Store(run.store), InProcess(), None)
    found = prepare_folds(settings, run, prepare(run, context), context)
    return [(each.fold.index, each.fold.of) for each in found]


def test_auto_takes_folds_of_small_corpora_and_one_trial_needs_none(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_config(tmp_path / "store", tiny_encoder, tiny_corpus)
    assert of_folds(run, settings_of("auto")) == [(index, AUTO_FOLDS) for index in range(3)]
    assert of_folds(run, settings_of("auto", trials=1)) == of_folds(run, settings_of(2, trials=1)) == []
    monkeypatch.setattr(folds, "AUTO_ROWS", 48)
    assert of_folds(run, settings_of("auto")) == []


def test_a_validation_split_of_the_users_own_is_not_pooled(tmp_path: Path, tiny_encoder: Path) -> None:
    corpus = tiny.save_opinions(tmp_path / "rows")
    (corpus / "validation.jsonl").write_text("\n".join(json.dumps(tiny.opinion(i)) for i in range(2000, 2010)))
    run = run_config(tmp_path / "store", tiny_encoder, corpus)
    with pytest.raises(ConfigError, match=r"has a validation split for selection, which is not pooled with train"):
        of_folds(run, settings_of(2))
    assert of_folds(run, settings_of("auto")) == []


def test_a_fraction_of_validation_has_no_part_in_folds(tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path) -> None:
    corpus = tiny.opinions(tiny_corpus) | {"validation_fraction": 0.25}
    run = tiny.run_config(tiny_encoder, tiny_corpus, store=str(tmp_path / "store"), corpus=corpus)
    assert of_folds(run, settings_of(2)) == [(0, 2), (1, 2)]
