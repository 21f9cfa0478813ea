"""The losses of the methods as pure functions: one value a row, for use in a method of your own or in any loop.

    >>> import torch
    >>> from kdray import functional as F
    >>> teacher, student = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> F.kd_rows(F.log_probs(teacher, 2.0), student, temperature=2.0)
    tensor([0.1054, 0.0000])

All of them work in at least float32, from log-softmax, and never reduce over rows.
"""

from kdray.methods.losses import (
    cross_entropy_rows,
    ensemble_log_probs,
    entropy_rows,
    kd_rows,
    kl_rows,
    log_probs,
    mse_rows,
    soft_cross_entropy_rows,
    unit,
)

__all__ = [
    "cross_entropy_rows",
    "ensemble_log_probs",
    "entropy_rows",
    "kd_rows",
    "kl_rows",
    "log_probs",
    "mse_rows",
    "soft_cross_entropy_rows",
    "unit",
]
