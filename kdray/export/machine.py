"""The machine that something was measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kdray.export.predict import processor_flags

SHOWN_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
RUNTIMES = ("onnxruntime", "tokenizers", "numpy")


def machine() -> dict[str, Any]:
    """Processor, instruction set, cores and system, as plain values."""
    flags = processor_flags()
    return {
        "processor": _processor(),
        "instruction_set": [name for name in SHOWN_FLAGS if name in flags],
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
    }


def runtime_versions() -> dict[str, str]:
    """The versions of what a bundle needs, as they are installed here."""
    return {name: version(name) for name in RUNTIMES}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
