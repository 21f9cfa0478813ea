"""When a search ends before all of its trials have."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdray.experiments.study import SweepStudy


@dataclass(frozen=True)
class Budget:
    """When a search ends early; `--resume` continues what is then unfinished. None is no limit.

    Attributes:
        hours: Wall time of this command's search.
        gpu_hours: Hours of GPU that trials have had, over every `--resume`.
        failures: Failed trials, over every `--resume`, but for those tried again.
    """

    hours: float | None = None
    gpu_hours: float | None = None
    failures: int | None = None


NO_BUDGET = Budget()


def used_up(budget: Budget, sweep_study: "SweepStudy", *, seconds: float, gpus: float) -> str | None:
    """Which part of the budget a search has used up, in words; None if none.

    Args:
        seconds: Wall time of the search.
        gpus: GPUs of one trial.
    """
    if budget.hours is not None and seconds > 3600 * budget.hours:
        return f"--max-hours {budget.hours:g} are over"
    trials = sweep_study.counted_trials()
    if budget.gpu_hours is not None:
        facts = [trial.user_attrs for trial in trials]
        used = gpus * sum(f["ended"] - f["started"] for f in facts if "ended" in f and "started" in f) / 3600
        if used > budget.gpu_hours:
            return f"--max-gpu-hours {budget.gpu_hours:g} are used up"
    failed = sum(trial.state.name == "FAIL" for trial in trials)
    if budget.failures is not None and failed >= budget.failures:
        return f"{failed} trials have failed, --max-failures is {budget.failures}"
    return None
