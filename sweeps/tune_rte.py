"""Sweep students for RTE: `python sweeps/tune_rte.py [--corpus rte] [--trials N] [--address auto]`.

The teachers are MiniLM with six layers; on the real RTE they learn MNLI first. Students keep three of their layers. On
the sample everything has to be over in minutes: one teacher, two epochs, no assistants.
"""

from typing import Any

from kdray.cli.sweep import sweep_main
from kdray.config import RunConfig
from kdray.methods import KD

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
    "corpus": {"name": "sample", "validation_fraction": 0.3},
    "teachers": [
        {"name": "minilm", "train": {"epochs": 2, "learning_rate": 1e-4, "batch_size": 16, "max_length": 64}},
    ],
    "train": {"epochs": 2, "learning_rate": 2e-4, "batch_size": 16, "max_length": 64},
}


def space(trial: Any, run: RunConfig) -> dict[str, Any]:
    """Suggests only the settings of the chosen method; the λ are suggested freely and scaled to sum to 1."""
    small = run.corpus.name == "sample"
    methods = ["kd", *([] if small else ["dekd"]), *(["ens_u", "rlkd"] if len(run.teachers) > 1 else [])]
    method: dict[str, Any] = {"name": trial.suggest_categorical("method", methods)}
    method["temperature"] = trial.suggest_float("temperature", 1, 20, log=True)
    if method["name"] == "dekd":
        method |= assistant(trial, run)
        method["r"] = trial.suggest_float("r", 0.2, 0.95)
        method["strategy"] = trial.suggest_categorical("strategy", ["entropy", "least_confidence", "margin", "random"])
        free = [trial.suggest_float(f"lambda{i}", 0.05, 1.0) for i in (1, 2, 3)]
        method |= {f"lambda{i}": value / sum(free) for i, value in enumerate(free, start=1)}
    else:
        method["alpha"] = trial.suggest_float("alpha", 0.0, 1.0)
    if method["name"] == "rlkd":
        method |= {"reward_number": 3, "gamma": trial.suggest_float("gamma", 0.1, 0.9)}
    rate = trial.suggest_float("learning_rate", 5e-5, 5e-4, log=True)
    chosen: dict[str, Any] = {"method": method, "train.learning_rate": rate}
    policy = trial.suggest_categorical("prune", ["lower_tail", "none", *([] if small else ["match_rate"])])
    if policy == "none":
        chosen["prune"] = {"policy": "none"}
    elif policy == "match_rate":  # a few rates, so that trials share what they prune
        chosen["prune.policy"] = {"name": policy, "rate": trial.suggest_categorical("prune_rate", [0.1, 0.2, 0.3])}
    return chosen


def assistant(trial: Any, run: RunConfig) -> dict[str, Any]:
    """DeKD's, of any depth between student and teacher; none where they are neighbours."""
    deepest = run.teachers[0].depth - 1
    if run.student.depth >= deepest:
        return {"assistant": False}
    return {"ta_depth": trial.suggest_int("ta_depth", run.student.depth + 1, deepest)}


def starts(run: RunConfig) -> list[dict[str, Any]]:
    """Trial 0: the base as it stands, with vanilla KD."""
    kd = run.method if isinstance(run.method, KD) else KD()
    method = {"method": "kd", "temperature": kd.temperature, "alpha": kd.alpha}
    rest = {"learning_rate": run.train.learning_rate, "prune": run.prune.policy.name}
    return [{"label": "defaults", "params": method | rest}]


if __name__ == "__main__":
    sweep_main("rte", base=BASE, on_sample=ON_SAMPLE, space=space, starts=starts)
