# ruff: noqa: E501 (a table of numbers reads better in long lines)
"""A made-up sweep and run for the tests of the page. Every number here is invented; none was measured."""

import copy
import math
from typing import Any

_METHODS = ("kd", "dekd", "pkd")


def _trial(number: int) -> dict[str, Any]:
    method = _METHODS[number % 3]
    state = "failed" if number in (4, 9) else "pruned" if number % 5 == 2 else "complete"
    value = 0.55 + 0.09 * math.sin(number * 1.7) ** 2 + 0.01 * (method == "dekd")
    epochs = 2 if state == "pruned" else 5
    params: dict[str, Any] = {
        "method": method,
        "temperature": 1 + number % 8,
        "learning_rate": 1e-6 * 3 ** (number % 7),
        "alpha": round(0.1 * (number % 10), 2),
        "seed": 0,
    }
    if method == "pkd":
        params["layers"] = [2, 4] if number % 2 else [1, 3, 5]
    history = [
        {"epoch": e, "value": value - 0.05 * (epochs - e) / epochs, "loss": 0.7 * 0.8**e + 0.01 * (number % 3)}
        for e in range(1, epochs + 1)
    ]
    started = 1_700_000_000.0 + (number // 3) * 41 + number % 3
    is_failed = state == "failed"
    return {
        "number": number,
        "state": state,
        "params": params,
        "value": None if is_failed else value,
        "test": value - 0.02 if state == "complete" else None,
        "epochs": 0 if is_failed else epochs,
        "history": [] if is_failed else history,
        "seconds": 38.0,
        "started": started,
        "ended": started + (12 if state != "complete" else 38),
        "error": "RunError: the loss became nan at step 31" if is_failed else None,
        "digest": f"{number:02d}ab34cd56ef7890",
        "label": "defaults" if number == 0 else None,
        "worker": f"worker-{number % 3}",
    }


def _spread(*values: float) -> dict[str, Any]:
    mean = math.fsum(values) / len(values)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return {"mean": mean, "std": std, "values": list(values)}


def classes(f1: float) -> dict[str, Any]:
    """Two classes around an F1."""
    return {
        "entailment": {"precision": f1 + 0.05, "recall": f1 + 0.01, "f1": f1 + 0.03, "support": 146},
        "not_entailment": {"precision": f1 - 0.02, "recall": f1 - 0.04, "f1": f1 - 0.03, "support": 131},
    }


def _origin() -> dict[str, Any]:
    return {
        "name": "made-up",
        "created": "2001-02-03T04:05:06+00:00",
        "command": "python sweeps/made_up.py --trials 20",
        "commit": "0123abc",
        "versions": {"torch": "2.8.0", "ray": None},
        "kdray": "0.1.0",
        "corpus": {
            "name": "invented",
            "is_sample": False,
            "note": None,
            "origin": "nowhere",
            "rows": {"train": 2241, "validation": 249, "test": 277},
            "test_from": "validation (official)",
            "requested": "auto",
        },
        "teachers": [
            {"name": "big", "validation": 0.70, "test": 0.69, "majority": 0.527, "parameters": 109482240, "latency_ms": 41.3, "classes": classes(0.69)},
            {"name": "weak", "validation": 0.5, "test": 0.51, "majority": 0.527, "parameters": None, "latency_ms": None},
        ],
        "prune": {
            "policy": "lower_tail",
            "level": "sentence",
            "units": 5120,
            "kept": 3841,
            "examples": [
                {"before": ["A cat sat on the mat.", "It was a Tuesday.", "The mat was red."], "kept": [True, False, True]},
                {"before": ["Rain fell.", "Nobody minded."], "kept": [True, True]},
            ],
            "per_class": {"entailment": {"units": 3120, "kept": 2341}, "not_entailment": {"units": 2000, "kept": 1500}},
        },
        "stages": [
            {"stage": "teach", "name": "big", "digest": "5342d3d2aeef00", "seconds": 812.4, "reused": False, "summary": "3 epochs"},
            {"stage": "outputs", "name": "big", "digest": "77aa00bb11cc22", "seconds": None, "reused": True, "summary": None},
        ],
        "seconds": {
            "total": 1400.0,
            "by_phase": {"prune": 31.0, "teach": 812.4, "outputs": 101.0, "search": 310.0, "confirm": 90.0, "check": 2.0,
                         "write": 1.0},
        },
        "settings": {"method": {"name": "kd", "temperature": 4.0}, "train": {"epochs": 5, "learning_rate": 3e-5}, "empty": {}},
        "commands": {"resume": "kdray sweep made_up --resume", "trial": "kdray run made_up --trial {number}"},
    }  # fmt: skip


def sweep() -> dict[str, Any]:
    """A sweep of 20 trials; trial 7 wins."""
    trials = [_trial(number) for number in range(20)]
    best = max((t for t in trials if t["state"] == "complete"), key=lambda t: t["value"])
    result = {
        **_origin(),
        "kind": "sweep",
        "metric": "accuracy",
        "trials": trials,
        "best": {"number": best["number"], "params": best["params"], "value": best["value"]},
        "importances": {"learning_rate": 0.61, "method": 0.25, "temperature": 0.11, "alpha": 0.03},
        "importances_note": "fANOVA over the complete trials",
        "confirmation": [
            {"label": "no-KD baseline", "method": "none", "seeds": [0, 1, 2], "validation": _spread(0.58, 0.59, 0.57),
             "test": _spread(0.571, 0.563, 0.58), "retention": 0.83, "distillation_ratio": None,
             "classes": classes(0.57),
             "parameters": 22713216, "latency_ms": 8.71, "difference": None, "note": None},
            {"label": "vanilla KD", "method": "kd", "seeds": [0, 1, 2], "validation": _spread(0.6, 0.61, 0.6),
             "test": _spread(0.601, 0.612, 0.598), "retention": 0.87, "distillation_ratio": 0.27,
             "classes": classes(0.6),
             "parameters": 22713216, "latency_ms": 8.69,
             "difference": {"to": "no-KD baseline", "mean": 0.032, "p_value": 0.03}, "note": None},
            {"label": f"winner (trial {best['number']}: dekd)", "method": "dekd", "seeds": [0, 1, 2],
             "validation": _spread(0.63, 0.62, 0.64), "test": _spread(0.622, 0.631, 0.611), "retention": 0.9,
             "distillation_ratio": 0.42, "classes": classes(0.62), "parameters": 22713216, "latency_ms": 8.7,
             "difference": {"to": "no-KD baseline", "mean": 0.05, "p_value": 0.0042}, "note": "search defaults otherwise"},
        ],
    }  # fmt: skip
    return copy.deepcopy(result)


def comparison() -> dict[str, Any]:
    """The students of the sweep, compared without a search."""
    students = [student for student in sweep()["confirmation"] if not student["label"].startswith("winner")]
    return {**_origin(), "kind": "comparison", "metric": "accuracy", "confirmation": students}


def pruning() -> dict[str, Any]:
    """A pruned corpus with everything that its page can show."""
    result = {**_origin(), "kind": "prune"}
    result["prune"] |= {
        "threshold": 0.23,
        "importance": {"edges": [0.0, 0.25, 0.5, 0.75, 1.0], "kept": [141, 2900, 700, 100], "dropped": [1279, 0, 0, 0]},
        "lengths": [
            {"first": 1, "last": 4, "units": 1000, "kept": 250},
            {"first": 5, "last": 9, "units": 0, "kept": 0},
            {"first": 10, "last": None, "units": 4120, "kept": 3591},
        ],
        "clusters": [
            {"first": 1, "last": 1, "clusters": 30},
            {"first": 2, "last": 4, "clusters": 0},
            {"first": 5, "last": None, "clusters": 90},
        ],
        "nearest": [
            {
                "id": "train:7",
                "field": "text",
                "text": "It <b>was</b> a Tuesday.",
                "importance": 0.2299,
                "kept": False,
                "reason": "below threshold",
            },
            {
                "id": "train:9",
                "field": "*",
                "text": "Rain fell. " * 40,
                "importance": 0.2301,
                "kept": True,
                "reason": "kept",
            },
        ],
    }
    return result


def run() -> dict[str, Any]:
    """A run of one student over four epochs."""
    history = [
        {
            "epoch": e,
            "validation": {"accuracy": 0.5 + 0.03 * e, "f1": 0.4 + 0.04 * e},
            "terms": {"hard": 0.7 - 0.05 * e, "kd": 1.2 - 0.2 * e},
            "weighted": {"hard": 0.35 - 0.025 * e, "kd": 0.6 - 0.1 * e},
        }
        for e in range(1, 5)
    ]
    result = {
        **_origin(),
        "kind": "run",
        "metric": "accuracy",
        "student": {
            "encoder": "small",
            "layers": 6,
            "parameters": 22713216,
            "latency_ms": 8.7,
            "method": {"name": "kd"},
        },
        "metrics": {"validation": {"accuracy": 0.62, "f1": 0.56}, "test": {"accuracy": 0.604, "f1": None}},
        "history": history,
        "classes": {"validation": classes(0.61), "test": classes(0.6)},
    }
    return copy.deepcopy(result)
