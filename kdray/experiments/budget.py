"""When a search ends before all of its trials have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """When a search ends early; what is then unfinished goes on by `--resume`. None is no limit.

    Attributes:
        hours: Wall time of this command's search.
        gpu_hours: Hours of GPU that trials have had, over every `--resume`.
        failures: Failed trials, over every `--resume`, but for those tried again.
    """

    hours: float | None = None
    gpu_hours: float | None = None
    failures: int | None = None


NO_BUDGET = Budget()
