"""What a forward pass exposes, and teacher outputs on disk."""

from kdray.signals.needs import Need
from kdray.signals.outputs import OUTPUT_KINDS, Outputs, OutputsWriter
from kdray.signals.signals import Signals

__all__ = ["OUTPUT_KINDS", "Need", "Outputs", "OutputsWriter", "Signals"]
