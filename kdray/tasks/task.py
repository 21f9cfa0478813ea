"""The interface of a task: from a column of labels to a loss, predictions and a baseline. One task is one file."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from torch import Tensor

from kdray.errors import ConfigError
from kdray.origin import shipped_or_outside
from kdray.tasks.metrics import Predictions, Target


class LabelError(ValueError):
    """A label that is not allowed; the reader of the file adds file, row and column.

    Attributes:
        row: The first is 0.
        found: What is there.
        allowed: What may be there.
    """

    def __init__(self, row: int, found: Any, allowed: str) -> None:
        super().__init__(f"row {row} is {found!r}; allowed are {allowed}")
        self.row, self.found, self.allowed = row, found, allowed


class Task(Protocol):
    """What a model learns from labels. Objects without state; `TASKS` holds those that have a short name.

    Attributes:
        name: As settings name it.
        target: `class` columns are read and stored as class numbers; those of other tasks by `read`.
        metrics: The default ones; the first one is used for selection.
        always: Metrics that are always reported.
        problem_type: `problem_type` in an exported model's configuration.
        outputs: The names of a model's outputs where settings name no `labels`; empty if they must.
        class_scores: The outputs are scores of classes, whose softmax is one distribution. Methods that need such a
            distribution refuse other tasks.
    """

    @property
    def name(self) -> str: ...
    @property
    def target(self) -> Target: ...
    @property
    def metrics(self) -> tuple[str, ...]: ...
    @property
    def always(self) -> tuple[str, ...]: ...
    @property
    def problem_type(self) -> str: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def class_scores(self) -> bool: ...

    def read(self, values: pa.ChunkedArray, labels: Sequence[str]) -> pa.Array:
        """A file's column as it is stored, null where a row has no label.

        Raises:
            LabelError: A label is not allowed.
        """
        ...

    def targets(self, stored: pa.ChunkedArray, labels: Sequence[str]) -> np.ndarray:
        """The stored column as an array [rows, ...], unlabeled rows included."""
        ...

    def labeled(self, targets: Any) -> Any:
        """Which rows have a label, [rows]; of an array or a tensor."""
        ...

    def hard_rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each row to its label, [batch]; 0 where there is none."""
        ...

    def distributions(self, logits: Tensor) -> Tensor | None:
        """Logits of the distributions that soft labels are, [batch, ..., outcomes]; None: outputs are values."""
        ...

    def predictions(self, logits: np.ndarray) -> Predictions:
        """What a model's outputs [rows, outputs] predict."""
        ...

    def baseline(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """The outputs [outputs] of the best constant prediction; of labeled rows."""
        ...


TASKS: dict[str, Task] = {}  # filled in by the package


def get_task(name: str) -> Task:
    """The task of this name, or the object that `module:NAME` or `file.py:NAME` names.

    Raises:
        ConfigError: There is none.
    """
    found = shipped_or_outside(name, TASKS, "task", place="NAME")
    missing = [each for each in _MEMBERS if not hasattr(found, each)]
    if missing:
        raise ConfigError(f"task {name!r} has no {missing[0]}; it must be an object with all of {', '.join(_MEMBERS)}.")
    return found


_MEMBERS = sorted(name for name in vars(Task) if not name.startswith("_"))
