"""Signals of a forward pass, and teacher outputs on disk."""

from kdray.signals.needs import TEACHER_NEEDS, TOKEN_NEEDS, Need
from kdray.signals.outputs import DTYPES, OUTPUT_KINDS, PREDICTED, Outputs, OutputsWriter
from kdray.signals.signals import Signals

__all__ = [
    "DTYPES",
    "OUTPUT_KINDS",
    "PREDICTED",
    "TEACHER_NEEDS",
    "TOKEN_NEEDS",
    "Need",
    "Outputs",
    "OutputsWriter",
    "Signals",
]
