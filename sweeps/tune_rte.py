"""Sweep students for RTE: `python sweeps/tune_rte.py [--corpus rte] [--trials N] [--address auto]`.

The teachers are MiniLM with six layers; on the real RTE they learn MNLI first. Students keep three of their layers. On
the sample everything has to be over in ten minutes: one teacher, one epoch, no assistants.
"""

from typing import Any

from kdray.cli.sweep import sweep_main
from kdray.config import RunConfig
from kdray.models import encoder_layers

BASE: dict[str, Any] = {
    "teachers": [
        {"name": "minilm-mnli", "init_from": "mnli"},
        {"name": "minilm-mnli-b", "init_from": "mnli", "train": {"epochs": 1, "learning_rate": 5e-5, "seed": 1}},
    ],
    "student": {"layers": 3, "init": "skip", "init_from": "teacher"},
    "assistant": {"train": {"epochs": 2, "learning_rate": 1e-4}},
    "train": {"epochs": 2, "learning_rate": 1e-4},
}
ON_SAMPLE: dict[str, Any] = {
    "teachers": [
        {"name": "minilm", "train": {"epochs": 1, "learning_rate": 1e-4, "batch_size": 16, "max_length": 64}},
    ],
    "train": {"epochs": 1, "learning_rate": 3e-4, "batch_size": 16, "max_length": 64},
}


def space(trial: Any, run: RunConfig) -> dict[str, Any]:
    """Only what the chosen method has is asked for; the λ are asked for freely and scaled to sum to 1."""
    deepest = run.student.layers if run.corpus.name == "sample" else encoder_layers(run.teachers[0].encoder) - 1
    depths = list(range(run.student.layers + 1, deepest + 1))  # of an assistant in between
    methods = ["kd", *(["dekd"] if depths else []), *(["ens_u"] if len(run.teachers) > 1 else [])]
    method: dict[str, Any] = {"name": trial.suggest_categorical("method", methods)}
    method["temperature"] = trial.suggest_float("temperature", 1, 20, log=True)
    if method["name"] == "dekd":
        method["ta_depth"] = trial.suggest_categorical("ta_depth", depths)
        method["r"] = trial.suggest_float("r", 0.2, 1.0)
        free = [trial.suggest_float(f"lambda{i}", 0.05, 1.0) for i in (1, 2, 3)]
        method |= {f"lambda{i}": value / sum(free) for i, value in enumerate(free, start=1)}
    else:
        method["alpha"] = trial.suggest_float("alpha", 0.0, 1.0)
    rate = trial.suggest_float("learning_rate", 5e-5, 5e-4, log=True)
    chosen: dict[str, Any] = {"method": method, "train.learning_rate": rate}
    if trial.suggest_categorical("prune", ["lower_tail", "none"]) == "none":
        chosen["prune"] = {"policy": "none"}
    return chosen


def starts(run: RunConfig) -> list[dict[str, Any]]:
    """Trial 0: the base as it stands, with vanilla KD."""
    method = {"method": "kd", "temperature": 5.0, "alpha": 0.5}
    rest = {"learning_rate": run.train.learning_rate, "prune": run.prune.policy.name}
    return [{"label": "defaults", "params": method | rest}]


if __name__ == "__main__":
    sweep_main("rte", base=BASE, on_sample=ON_SAMPLE, space=space, starts=starts)
