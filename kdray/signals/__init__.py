"""What a forward pass exposes, and teacher outputs on disk."""

from kdray.signals.needs import TOKEN_NEEDS, Need
from kdray.signals.outputs import OUTPUT_KINDS, Outputs, OutputsWriter
from kdray.signals.signals import Signals

__all__ = ["OUTPUT_KINDS", "TOKEN_NEEDS", "Need", "Outputs", "OutputsWriter", "Signals"]
