"""What a model costs: parameters, FLOPs by formula, and a latency for orientation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from kdray.evaluate.latency import shortest_ms
from kdray.models import Architecture, Transformer, architecture_of, forward, max_tokens, model_info


@dataclass(frozen=True)
class Cost:
    """Attributes:
    layers: Of a transformer, or as many as the architecture has in its settings; None of another one.
    flops: Of one row of `tokens` tokens, one multiply-add counted as two.
    tokens: 128, or fewer if the model takes no more.
    latency_ms: The fastest of ten forward passes over one row of `tokens` tokens on `device` with `threads` threads,
        right after training, beside whatever else ran; `kdray bench` measures alone.
    """

    parameters: int
    layers: int | None
    flops: int
    latency_ms: float
    tokens: int
    device: str
    threads: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def cost_of(model: Any, *, device: torch.device, tokens: int = 128) -> Cost:
    """Count and time `model` (in eval mode) on one row of `tokens` tokens."""
    architecture = architecture_of(model)
    tokens = min(tokens, max_tokens(model) or tokens)
    row = torch.full((1, tokens), 1, dtype=torch.long, device=device)
    batch = {"input_ids": row, "attention_mask": torch.ones_like(row)}
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        layers=_layers(model, architecture),
        flops=architecture.flops(model, tokens=tokens),
        latency_ms=_latency_ms(model, batch, device),
        tokens=tokens,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
    )


def _layers(model: Any, architecture: Architecture) -> int | None:
    is_transformer = isinstance(architecture, Transformer)
    return model_info(model, "").layers if is_transformer else getattr(architecture, "layers", None)


def _latency_ms(model: Any, batch: Mapping[str, Tensor], device: torch.device) -> float:
    def work() -> None:
        forward(model, batch, frozenset())
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with torch.inference_mode():
        return shortest_ms(work)
