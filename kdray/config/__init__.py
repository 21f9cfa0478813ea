"""The run file: every section's settings, gathered; read from YAML with dotted overrides."""

from kdray.config.load import load, parse
from kdray.config.overrides import apply_overrides, dotted, merge
from kdray.config.run import OutputsSettings, PruneSection, RunConfig, WorkSettings

__all__ = [
    "OutputsSettings",
    "PruneSection",
    "RunConfig",
    "WorkSettings",
    "apply_overrides",
    "dotted",
    "load",
    "merge",
    "parse",
]
