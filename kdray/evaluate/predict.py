"""Logits of a model over rows, in the rows' order, every row once."""

from typing import Any, Literal

import numpy as np
import torch

from kdray.models import autocast, forward
from kdray.train import Rows


def predict(
    model: Any, rows: Rows, *, batch_size: int, device: torch.device, precision: Literal["fp32", "bf16"]
) -> np.ndarray:
    """Class scores, float32, [rows, classes]. Rows are sorted by length to reduce padding."""
    order = np.argsort(rows.encoded.lengths, kind="stable")
    logits: list[torch.Tensor] = []
    with torch.inference_mode(), autocast(device, precision):
        for start in range(0, len(order), batch_size):
            batch = rows.batch(order[start : start + batch_size], device)
            logits.append(forward(model, batch, frozenset()).logits.float().cpu())
    sorted_logits = torch.cat(logits).numpy()
    unsorted = np.empty_like(sorted_logits)
    unsorted[order] = sorted_logits
    return unsorted
