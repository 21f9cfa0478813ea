"""Tasks: the form of labels and their loss, and the metrics."""

from kdray.tasks.metrics import (
    METRICS,
    Metric,
    Needs,
    Predictions,
    Target,
    best_of,
    get_metric,
    identity,
    is_better,
    metric,
    register,
)
from kdray.tasks.multi_label import MULTI_LABEL
from kdray.tasks.noise import row_noise, split_gap
from kdray.tasks.regression import REGRESSION
from kdray.tasks.scores import baseline, check_metric, score_all, score_one, scores_by_class
from kdray.tasks.single_label import SINGLE_LABEL, cross_entropy_rows, wide
from kdray.tasks.task import TASKS, LabelError, Task, get_task, register_task, task_identity
from kdray.tasks.token_classification import NO_WORD, TOKEN_CLASSIFICATION, mended, tags_of, types_of

for _each in (SINGLE_LABEL, REGRESSION, MULTI_LABEL, TOKEN_CLASSIFICATION):
    register_task(_each)

__all__ = [
    "METRICS",
    "MULTI_LABEL",
    "NO_WORD",
    "REGRESSION",
    "SINGLE_LABEL",
    "TASKS",
    "TOKEN_CLASSIFICATION",
    "LabelError",
    "Metric",
    "Needs",
    "Predictions",
    "Target",
    "Task",
    "baseline",
    "best_of",
    "check_metric",
    "cross_entropy_rows",
    "get_metric",
    "get_task",
    "identity",
    "is_better",
    "mended",
    "metric",
    "register",
    "register_task",
    "row_noise",
    "score_all",
    "score_one",
    "scores_by_class",
    "split_gap",
    "tags_of",
    "task_identity",
    "types_of",
    "wide",
]
