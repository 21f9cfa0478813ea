"""Quality check: refuse teachers that do not beat the majority class."""

import numpy as np

from kdray.errors import ConfigError
from kdray.origin import shown
from kdray.tasks import SINGLE_LABEL, Task, baseline, get_metric, score_one


def check_quality(
    name: str, *, metric: str, logits: np.ndarray, labels: np.ndarray, split: str, task: Task = SINGLE_LABEL
) -> dict[str, float]:
    """The teacher's score and that of the best constant prediction (the majority class) on labeled rows.

    Raises:
        ConfigError: The logits are not finite, or the teacher does not beat the majority class.
    """
    # NaN alone marks words that the teacher does not read
    if np.isinf(logits).any() or (task.target != "tags" and np.isnan(logits).any()):
        raise ConfigError(f"teacher {name!r} gives logits that are not finite on the split {split!r}.")
    score = score_one(metric, labels, logits, task)
    majority = baseline(metric, labels, outputs=logits.shape[-1], task=task)
    if not get_metric(metric).is_better(score, majority):
        raise ConfigError(
            f"teacher {name!r} scores {shown(metric)} {score:.3f} on {split!r}, no better than "
            f"{'the majority class' if task.target == 'class' else 'the best constant prediction'} "
            f"({majority:.3f}): is it fine-tuned for this task, on enough rows, and are its labels in order? "
            'outputs.quality_check=false (in Python outputs={"quality_check": False}) turns this check off.'
        )
    return {shown(metric): score, "majority": majority}
