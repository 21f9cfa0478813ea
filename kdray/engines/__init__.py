"""Where work runs: in this process, or on Ray (`kdray.engines.ray`, which alone imports Ray)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdray.engines.base import Engine
    from kdray.engines.choice import Local, Ray
    from kdray.engines.local import InProcess, InThreads

__all__ = ["Engine", "InProcess", "InThreads", "Local", "Ray"]

_MODULES = {"Engine": "base", "InProcess": "local", "InThreads": "local", "Local": "choice", "Ray": "choice"}


def __getattr__(name: str) -> Any:  # workers of Ray Data import this package, and need no torch
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
