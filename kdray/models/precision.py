"""Which precision the hardware does fast. On processors without bf16 units, bf16 is some twenty times slower."""

from contextlib import AbstractContextManager
from typing import Literal

import torch

from kdray import compat

Precision = Literal["auto", "fp32", "bf16"]

compat.keep_order_of_sums()


def has_fast_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return compat.has_amx()


def resolve_precision(precision: Precision) -> Literal["fp32", "bf16"]:
    """`auto` becomes bf16 where the hardware has it, else fp32; resolved before a digest, as it changes results."""
    if precision != "auto":
        return precision
    return "bf16" if has_fast_bf16() else "fp32"


def autocast(device: torch.device, precision: Literal["fp32", "bf16"]) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
