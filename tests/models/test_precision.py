"""Which precision is chosen on which hardware."""

import pytest
import torch

from kdray import compat
from kdray.models import resolve_precision


@pytest.mark.parametrize(("has_units", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_processor_gets_bf16_only_with_units_for_it(has_units, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(compat, "has_amx", lambda: has_units)
    assert resolve_precision("auto") == chosen


@pytest.mark.parametrize(("has_units", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_gets_bf16_only_without_emulation(has_units, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or has_units
    )
    assert resolve_precision("auto") == chosen
