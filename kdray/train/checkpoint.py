"""Checkpoints: all that resuming needs for the result of an uninterrupted training. Safetensors and JSON, no pickle."""

import json
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from kdray.store import WorkFolder


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and plain values."""

    tensors: dict[str, Tensor]
    progress: dict[str, Any]


class Checkpoints(Protocol):
    """Where checkpoints go. Only rank 0 saves; every rank loads."""

    def save(self, checkpoint: Checkpoint) -> None: ...

    def load(self) -> Checkpoint | None: ...


class StoreCheckpoints:
    """In the store's work folder; each complete checkpoint replaces the one before."""

    def __init__(self, work: WorkFolder) -> None:
        self._work = work

    def save(self, checkpoint: Checkpoint) -> None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
        progress = json.dumps(checkpoint.progress).encode()
        self._work.save({"state.safetensors": save_tensors(tensors), "progress.json": progress})

    def load(self) -> Checkpoint | None:
        files = self._work.load()
        if files is None:
            return None
        return Checkpoint(load_tensors(files["state.safetensors"]), json.loads(files["progress.json"]))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by parameter name: `<name>/<key>`."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        own = {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}/")}
        if own:
            # the fused optimizer keeps its step counter on the device too
            optimizer.state[parameter] = {key: value.to(parameter.device).clone() for key, value in own.items()}
