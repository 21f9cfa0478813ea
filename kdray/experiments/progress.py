"""The lines that a search logs while it runs, on Ray and in one process."""

import logging
from collections.abc import Mapping
from typing import Any

from kdray.experiments.study import StudyProgress

log = logging.getLogger(__name__)


def log_start(config: Mapping[str, Any]) -> None:
    """Of a trial: its number and settings."""
    log.info("trial %d starts: %s", config["number"], _short(config["overrides"]))


def log_epoch(config: Mapping[str, Any], epoch: int, value: float) -> None:
    log.info("trial %d: epoch %d, validation %.4f", config["number"], epoch, value)


def log_end(config: Mapping[str, Any], what: str, progress: StudyProgress, *, total: int, at_once: int) -> None:
    """Of a trial, and how far the whole study is, with the trials of all drivers and earlier commands.

    Args:
        what: How it ended.
        total: Trials of the search.
        at_once: Trials that can run at the same time.
    """
    log.info(
        "trial %d %s; %d of %d ended (%d stopped early, %d failed), %d running, best %s%s",
        config["number"],
        what,
        progress.ended,
        total,
        progress.pruned,
        progress.failed,
        progress.running,
        "none yet" if progress.best is None else f"{progress.best:.4f}",
        _left(progress, total, at_once),
    )


def _left(progress: StudyProgress, total: int, at_once: int) -> str:
    """How long the search will take if the rest is like what there was."""
    missing = total - progress.ended
    minutes = missing * progress.seconds / at_once / 60
    return f", about {minutes:.0f} min left" if missing > 0 and minutes >= 1 else ""


def _short(overrides: Mapping[str, Any]) -> str:
    shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in overrides.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
