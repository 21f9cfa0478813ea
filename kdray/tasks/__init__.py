"""Tasks: the form of labels and their loss, and the metrics."""

from kdray.tasks.metrics import (
    METRICS,
    Metric,
    Needs,
    Predictions,
    Target,
    best_of,
    get_metric,
    is_better,
    metric,
)
from kdray.tasks.multi_label import MULTI_LABEL
from kdray.tasks.noise import row_noise, split_gap
from kdray.tasks.regression import REGRESSION
from kdray.tasks.scores import baseline, check_metric, metrics_of, score_all, score_one, scores_by_class
from kdray.tasks.single_label import SINGLE_LABEL, cross_entropy_rows, wide
from kdray.tasks.task import TASKS, LabelError, Task, get_task
from kdray.tasks.token_classification import NO_WORD, TOKEN_CLASSIFICATION, mended, tags_of, types_of

TASKS.update({each.name: each for each in (SINGLE_LABEL, REGRESSION, MULTI_LABEL, TOKEN_CLASSIFICATION)})

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
    "is_better",
    "mended",
    "metric",
    "metrics_of",
    "row_noise",
    "score_all",
    "score_one",
    "scores_by_class",
    "split_gap",
    "tags_of",
    "types_of",
    "wide",
]
