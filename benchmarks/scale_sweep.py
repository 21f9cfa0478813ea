"""The search that `scale.py` times: vanilla KD over temperature and α, so that all trials cost the same."""

from typing import Any

from kdray.cli.sweep import sweep_main
from kdray.config import RunConfig


def space(trial: Any, run: RunConfig) -> dict[str, Any]:
    del run
    return {
        "method.temperature": trial.suggest_float("temperature", 1, 20, log=True),
        "method.alpha": trial.suggest_float("alpha", 0, 1),
    }


def starts(run: RunConfig) -> list[dict[str, Any]]:
    del run
    return [{"label": "defaults", "params": {"temperature": 5.0, "alpha": 0.5}}]


if __name__ == "__main__":
    sweep_main("sst2", base={"student": {"layers": 3}}, on_sample={}, space=space, starts=starts)
