"""The papers' grid, all of it: T × α, for RL-KD × γ: `python sweeps/paper_grid.py [method.name=rlkd]`."""

from itertools import product
from typing import Any

from tune_mrpc import ON_SAMPLE, SETTINGS

from kdray.cli.sweep import sweep_main
from kdray.config import RunConfig

GRID = {"temperature": [5.0, 10.0, 20.0], "alpha": [0.2, 0.5, 0.7], "gamma": [0.3, 0.5, 0.7, 0.9]}


def asked_of(run: RunConfig) -> dict[str, list[float]]:
    return {name: values for name, values in GRID.items() if name in type(run.method).model_fields}


def space(trial: Any, run: RunConfig) -> dict[str, Any]:
    method = {name: trial.suggest_categorical(name, values) for name, values in asked_of(run).items()}
    return {"method": {"name": run.method.name, **method, **({"reward_number": 3} if "gamma" in method else {})}}


def starts(run: RunConfig) -> list[dict[str, Any]]:
    """Every point of the grid, the method's own settings first; the search has nothing left to choose."""
    grid = asked_of(run)
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    points.sort(key=lambda point: point != {name: getattr(run.method, name) for name in grid})
    return [{"label": None if number else "defaults", "params": point} for number, point in enumerate(points)]


if __name__ == "__main__":
    sweep_main("mrpc", base=SETTINGS, on_sample=ON_SAMPLE, space=space, starts=starts)
