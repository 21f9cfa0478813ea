"""The run file: every section's settings, gathered; read from YAML with dotted overrides."""

from kdray.config.load import checked, load, parse
from kdray.config.overrides import apply_overrides, dotted, merge
from kdray.config.run import OutputsSettings, PruneSection, RunConfig, WorkSettings
from kdray.config.sweep import ComparisonConfig, Range, SweepConfig, load_comparison, load_sweep

__all__ = [
    "ComparisonConfig",
    "OutputsSettings",
    "PruneSection",
    "Range",
    "RunConfig",
    "SweepConfig",
    "WorkSettings",
    "apply_overrides",
    "checked",
    "dotted",
    "load",
    "load_comparison",
    "load_sweep",
    "merge",
    "parse",
]
