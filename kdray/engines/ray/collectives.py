"""The process group of a training: its key-value store listens on the address of the first worker only.

By default it listens on every address of the machine, and it has no authentication. Between nodes of a cluster, the
store and the collectives are as open as their network.
"""

import importlib
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend  # pyright: ignore[reportPrivateUsage]


@dataclass
class PrivateTorchConfig(TorchConfig):
    """Ray's own, with such a store."""

    @property
    def backend_cls(self) -> Any:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        worker_group.execute(_listen_on_one_address)
        super().on_start(worker_group, backend_config)


def _listen_on_one_address() -> None:
    # an `import` would give the function of this name, which torch.distributed holds in place of the module
    vars(importlib.import_module("torch.distributed.rendezvous"))["_create_c10d_store"] = private_store


def private_store(
    hostname: str, port: int, rank: int, world_size: int, timeout: timedelta, use_libuv: bool = True
) -> Any:
    """The store of a process group; rank 0 serves it at `hostname`."""
    from torch.distributed import TCPStore

    listener: int | None = None
    if rank == 0:
        family = socket.AF_INET6 if ":" in hostname else socket.AF_INET
        listener = socket.create_server((hostname, port), family=family).detach()
    return TCPStore(
        hostname,
        port,
        world_size,
        rank == 0,
        timeout,
        multi_tenant=True,
        use_libuv=use_libuv,
        master_listen_fd=listener,
    )
