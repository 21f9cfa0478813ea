"""From naive Bayes to six layers, each with hard labels and distilled: `python sweeps/ladder.py [--corpus sst2]`.

The trials are all pairs of a student and a method, so the search has nothing left to choose. Each student's export is
timed before the first training. `--objectives metric` leaves the latency out, which needs the machine for itself.
"""

from itertools import product
from typing import Any

from kdray.cli.sweep import StudentChoices, sweep_main
from kdray.config import RunConfig

BASE: dict[str, Any] = {
    "prune": {"policy": "none"},
    "teachers": [{"name": "minilm", "train": {"epochs": 2, "learning_rate": 1e-4, "max_length": 64}}],
    "student": {"encoder": "minilm", "layers": 3, "init": "skip"},
    "method": {"name": "kd", "temperature": 2.0},
    "train": {"epochs": 3, "learning_rate": 3e-4, "max_length": 64},
}
ON_SAMPLE: dict[str, Any] = {"corpus": {"name": "sample", "validation_fraction": 0.3}}
CLASSIC = {"naive Bayes": "naive_bayes", "logistic regression": "logistic"}
NETWORKS: dict[str, dict[str, Any]] = {
    "static": {"name": "static"},
    "TextCNN": {"name": "textcnn", "vectors": "encoder", "filters": 50},
    "BiLSTM": {"name": "bilstm", "vectors": "encoder", "hidden": 100, "dense": 100},
}
LAYERS = {f"{n} layers" if n > 1 else "1 layer": n for n in (1, 2, 3, 6)}
FIRST = "3 layers"  # the student of the base
NO_LAYERS = {"student.layers": 3, "student.init": "bottom"}  # what they are where they do not count


def shapes() -> dict[str, dict[str, Any]]:
    """Each student as dotted settings."""
    found: dict[str, dict[str, Any]] = {
        title: {"student.architecture": each, **NO_LAYERS} for title, each in NETWORKS.items()
    }
    for title, name in CLASSIC.items():
        found[title] = {"student.architecture": {"name": name, "ngrams": [1, 2]}, "student.encoder": None, **NO_LAYERS}
    return found | {title: {"student.layers": layers, "student.init": "skip"} for title, layers in LAYERS.items()}


def space(trial: Any, run: RunConfig) -> dict[str, Any]:
    student = trial.suggest_categorical("student", list(shapes()))
    labels = trial.suggest_categorical("labels", ["soft", "hard"])
    chosen = dict(shapes()[student])
    if labels == "hard":
        chosen["method"] = {"name": "finetune"}
    elif student in CLASSIC:
        chosen["method"] = {"name": "soft_classic"}
    else:
        chosen["method"] = run.method.model_dump(mode="json")
    if student in NETWORKS:
        chosen["train.learning_rate"] = 1e-3
    return chosen


def starts(run: RunConfig) -> list[dict[str, Any]]:
    """Every pair, the base first."""
    pairs = sorted(product(shapes(), ("soft", "hard")), key=lambda pair: pair != (FIRST, "soft"))
    first, *others = [{"student": student, "labels": labels} for student, labels in pairs]
    named = [{"label": f"{each['student']}, {each['labels']} labels", "params": each} for each in others]
    return [{"label": "defaults", "params": first}, *named]


if __name__ == "__main__":
    sweep_main(
        "sst2",
        base=BASE,
        on_sample=ON_SAMPLE,
        space=space,
        starts=starts,
        students=StudentChoices(list(shapes().values())),
        defaults={"objectives": "metric,latency", "formats": "onnx"},
    )
