"""A temperature for the probabilities of a bundle (Guo et al. 2017, "On Calibration of Modern Neural Networks").

Logits are divided by it before the softmax (or the sigmoid), which changes no label. It is the one with the smallest
log-loss on the validation rows, and its scores are of these rows too, so new rows score a little worse.
"""

import math
from typing import Any

import numpy as np

from kdray.errors import ConfigError
from kdray.tasks import get_task, score_all

RANGE = (0.05, 20.0)
SHOWN = ("log_loss", "ece")


def calibration(logits: np.ndarray, targets: np.ndarray, task: str) -> dict[str, Any]:
    """The temperature, and the scores before and after.

    Args:
        logits: Of the model, [rows, outputs]; of tags [rows, words, outputs], whose words count as rows.
        targets: Gold labels, as the task reads them.

    Raises:
        ConfigError: The task has no probabilities.
    """
    from scipy.optimize import minimize_scalar  # slow to import

    kind, rows = get_task(task), len(targets)
    if kind.target == "tags":
        known = (targets >= 0) & ~np.isnan(logits[..., 0])
        kind, logits, targets = get_task("single_label"), logits[known], targets[known]
    if kind.predictions(logits[:1]).probabilities is None:
        raise ConfigError(f"--calibrate: the task {task} has no probabilities; leave it out.")

    def loss(log: float) -> float:
        return score_all(("log_loss",), targets, logits / math.exp(log), kind)["log_loss"]

    low, high = map(math.log, RANGE)
    found: Any = minimize_scalar(loss, bounds=(low, high), method="bounded")
    temperature = float(math.exp(found.x))
    before, after = (score_all(SHOWN, targets, each, kind) for each in (logits, logits / temperature))
    return {
        "temperature": temperature,
        "rows": rows,
        **{name: {"before": before[name], "after": after[name]} for name in SHOWN},
    }
