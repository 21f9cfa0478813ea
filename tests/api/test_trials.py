"""The student of a sweep, saved by `kdray best`."""

import json
from pathlib import Path

import kdray as kd
from kdray.api.trials import best_trial
from kdray.models import NaiveBayes


def test_the_card_of_a_winner_has_its_difference_to_the_baseline(tmp_path: Path) -> None:
    space = {"student.architecture.smoothing": {"low": 0.1, "high": 2.0}}
    data, store = kd.Dataset.load("sample", limit=100), str(tmp_path / "store")
    found = kd.search(space, None, data, student=NaiveBayes(), trials=2, seeds=2, store=store, name="nb")
    best_trial("nb", store=store, export=tmp_path / "best")
    ours, _ = found.result["confirmation"][:2]
    gain = f"{100 * ours['difference']['mean']:+.1f}"
    verdict = (tmp_path / "best" / "README.md").read_text().splitlines()[-1]
    assert verdict.startswith("Chosen by the sweep `nb`. ")
    assert f"accuracy {100 * ours['test']['mean']:.1f} ± 0.0 % on the test split (2 seeds)." in verdict
    assert f"the no-KD baseline ({gain} points" in verdict.replace("−", "-")
    student = kd.Student.load(tmp_path / "best")
    assert student.evaluate()["accuracy"] == ours["test"]["values"][0]
    bundle = student.export(tmp_path / "bundle", format="hf")
    assert verdict in (bundle / "README.md").read_text().splitlines()
    assert json.loads((bundle / "bundle.json").read_text())["verdict"] == verdict


def test_the_card_of_a_student_without_a_sweep_has_no_verdict(tmp_path: Path) -> None:
    student = kd.distill(
        None, kd.Dataset.load("sample", limit=100), student=NaiveBayes(), store=str(tmp_path / "store")
    )
    bundle = student.export(tmp_path / "bundle", format="hf")
    assert "Chosen by" not in (bundle / "README.md").read_text()
