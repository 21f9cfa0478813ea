"""AdamW with linear warm-up and decay; biases and norms are not decayed."""

import torch
from torch import nn

from kdray.train.settings import TrainSettings


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, *, peak: float, warmup: float, done: int, total: int) -> None:
    """The rate of the next step after `done` of `total`: a function of the counter, so that resuming needs no state."""
    warm = int(warmup * total)
    factor = (done + 1) / warm if done < warm else (total - done) / max(1, total - warm)
    for group in optimizer.param_groups:
        group["lr"] = peak * factor
