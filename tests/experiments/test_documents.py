"""The table of students in result.json: which settings of each student it holds."""

from typing import Any

from kdray.config import parse
from kdray.experiments.confirm import Candidate, no_kd_candidate, start_without_kd
from kdray.experiments.documents import students
from kdray.results import BASELINE, FIRST_WEIGHTS


def trained(label: str) -> list[dict[str, Any]]:
    """The results of two seeds."""
    return [
        {
            "metric": "accuracy",
            "higher_is_better": True,
            "metrics": {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.5 + seed / 10}},
            "cost": {"parameters": 1, "latency_ms": 1.0},
            "spec": {"digest": f"{label}{seed}"},
        }
        for seed in range(2)
    ]


def test_each_student_has_the_settings_of_its_method_and_those_that_differ() -> None:
    run = parse({"method": {"name": "kd", "temperature": 4.0}}, source="test")
    other = parse({"method": {"name": "dekd"}, "train": {"epochs": 2}}, source="test")
    candidates = [Candidate("a", run), Candidate("b", other), no_kd_candidate(run)]
    rows = students(candidates, {label: trained(label) for label in ("a", "b", BASELINE)}, [0, 1], [])
    a, b, alone = (row["settings"] for row in rows)
    assert (a["method.name"], b["method.name"], alone["method.name"]) == ("kd", "dekd", "finetune")
    assert a["method.temperature"] == 4.0
    assert "method.temperature" not in alone
    assert (a["train.epochs"], b["train.epochs"]) == (run.train.epochs, 2)
    assert "train.seed" not in a


def test_scores_of_classes_are_means_over_the_seeds() -> None:
    run = parse({}, source="test")
    found = {label: trained(label) for label in ("kd", BASELINE)}
    for seed, f1 in zip(found["kd"], (0.25, 0.75), strict=True):
        seed["classes"] = {"test": {"good": {"precision": f1, "recall": f1, "f1": f1, "support": 9}}}
    kd, alone = students([Candidate("kd", run), no_kd_candidate(run)], found, [0, 1], [])
    assert kd["classes"] == {"good": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 9}}
    assert alone["classes"] == {}


def test_the_baseline_has_the_distillation_ratio_0_and_another_control_none() -> None:
    run = parse({"student": {"init_from": "teacher"}}, source="test")
    candidates = [Candidate("kd", run), no_kd_candidate(run), start_without_kd(run)]
    found = {label: trained(label) for label in ("kd", BASELINE, FIRST_WEIGHTS)}
    found["kd"][0]["metrics"]["test"] = {"accuracy": 0.7}
    teacher = {"test": 0.75, "predicted": None}
    rows = students(candidates, found, [0, 1], [teacher])
    ratios = {row["label"]: row["distillation_ratio"] for row in rows}
    assert (ratios[BASELINE], ratios[FIRST_WEIGHTS]) == (0.0, None)
    assert ratios["kd"] > 0
