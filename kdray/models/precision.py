"""Which precision the hardware does fast. On processors without bf16 units, bf16 is some twenty times slower."""

import os
from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]

# On some processors MKL sums a row in an order that depends on the row's place in the batch, unless it is told not to.
# Read by MKL before its first product. Large products were measured to cost the same time; some last bits differ.
if torch.backends.cpu.get_cpu_capability() == "AVX512":
    os.environ.setdefault("MKL_CBWR", "AVX512,STRICT")


def has_fast_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_amx_tile_supported())  # pyright: ignore[reportPrivateUsage]


def resolve_precision(precision: Precision) -> Literal["fp32", "bf16"]:
    """`auto` becomes bf16 where the hardware has it, else fp32; resolved before a digest, as it changes results."""
    if precision != "auto":
        return precision
    return "bf16" if has_fast_bf16() else "fp32"


def autocast(device: torch.device, precision: Literal["fp32", "bf16"]) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
