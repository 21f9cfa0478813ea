"""What a sweep searches for, and what a search found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kdray.experiments.budget import NO_BUDGET, Budget

Objective = Literal["metric", "latency", "parameters"]  # the task's metric on validation comes first, and wins alone
Tracker = Literal["tensorboard", "mlflow", "wandb"]
Space = Callable[[Any], dict[str, Any]]  # an Optuna trial (or a fixed one) to dotted overrides
Pruning = Literal["asha", "median", "none"]
Sampling = Literal["tpe", "random"]
Deployable = Literal["onnx", "onnx-int8"]  # formats of bundles whose latency is measured
DEPLOYABLE: tuple[Deployable, ...] = ("onnx", "onnx-int8")


def _no_space(trial: Any, shape: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Shapes:
    """The shapes of students in a search space.

    Attributes:
        every: Each as dotted settings of the student; an empty one is the run's own.
        space: The rest of the space, for a trial with such a shape.
    """

    every: Sequence[Mapping[str, Any]] = ({},)
    space: Callable[[Any, Mapping[str, Any]], dict[str, Any]] = _no_space


@dataclass(frozen=True)
class SweepSettings:
    """One sweep.

    Attributes:
        name: Names its folder in the store, `sweeps/<name>`, and its study.
        space: A define-by-run space: Optuna trial to dotted overrides of the run's settings.
        starts: Parameters to try first; the first are the defaults.
        trials: How many trials shall have ended in all, over every `--resume` and every driver.
        seed: Of the sampler (never searched over).
        cpus: Processors of one trial.
        gpus: GPUs of one trial, may be a fraction.
        confirm_start: Confirm also the student's first weights without KD, where these are a teacher's layers.
        candidates: How many of the best trials and the defaults are trained on the seeds of the confirmation.
        folds: Into how many folds train and validation are split to compare candidates and defaults; 0 compares them on
            the validation split, `auto` takes 3 where both together have fewer than 5,000 rows.
        storage: SQLAlchemy URL of the study; None is a file in the sweep's folder, for one driver at a time.
        pruning: Which trials stop early, by their scores after each epoch; None is `asha`, but nothing with several
            objectives.
        sampling: How parameters are chosen: by TPE (of several objectives too), or at random.
        objectives: What is searched for; the metric on validation first, then what a student costs.
        retry_failed: Try failed trials again first, with their own settings.
        trackers: Where trials are followed in addition to the report.
        shapes: Those that are exported and timed, if latency is an objective or has a limit, or a bundle is wanted.
        formats: In which they are exported.
        limit_ms: Only students whose export answers within it are searched for; the sweep ends with a bundle.
        bundle: The sweep ends with a bundle also without a limit.
        latency_of: Milliseconds of the student of a trial's overrides, None for one that was not measured; without
            this function they are what the worker measured.
    """

    name: str
    space: Space
    starts: Sequence[Mapping[str, Any]]
    trials: int
    seed: int = 0
    cpus: int = 1
    gpus: float = 0.0
    confirm_start: bool = True
    candidates: int = 3
    folds: int | Literal["auto"] = 0
    storage: str | None = None
    pruning: Pruning | None = None
    sampling: Sampling = "tpe"
    objectives: Sequence[Objective] = ("metric",)
    retry_failed: bool = False
    budget: Budget = NO_BUDGET
    trackers: Sequence[Tracker] = ()
    shapes: Shapes = Shapes()
    formats: Sequence[Deployable] = DEPLOYABLE
    limit_ms: float | None = None
    bundle: bool = False
    latency_of: Callable[[Mapping[str, Any]], float | None] | None = None

    @property
    def needs_exports(self) -> bool:
        """Whether shapes are exported and timed before the search."""
        return self.ends_with_bundle or "latency" in self.objectives

    @property
    def ends_with_bundle(self) -> bool:
        """Whether the winner is exported and timed at the end."""
        return self.bundle or self.limit_ms is not None


@dataclass
class SearchResult:
    """Attributes:
    trials: One plain record a trial that has ended, in the order of their numbers.
    front: With several objectives, the numbers of the trials that no other beats in all of them.
    stopped: Why the search ended before the wanted number of trials had ended; None if it did not.
    command: That which began the search.
    """

    trials: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    importances: dict[str, float] | None = None
    importances_note: str | None = None
    front: list[int] | None = None
    stopped: str | None = None
    command: str | None = None
