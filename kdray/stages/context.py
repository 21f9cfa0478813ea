"""What a stage is given: the store, the engine, and a journal of what was made and what was there."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdray import metrics
from kdray.engines import Engine
from kdray.log import stopwatch
from kdray.store import Artifact, Draft, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """Attributes:
    journal: One record for each artifact that was used or made: stage, name, digest, seconds, reused, summary.
    is_trial: One of many trials over the same artifacts, which does not log what it reused.
    """

    store: Store
    engine: Engine
    data_dir: Path | None
    journal: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    is_trial: bool = False

    def make(
        self,
        stage: str,
        name: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        build: Callable[[Draft], Mapping[str, Any]],
    ) -> Artifact:
        """`Store.make` with a line when it starts, a line when it ends, and an entry in the journal."""
        with stopwatch() as watch:
            artifact, reused = self.store.make(
                stage, name, settings=settings, inputs=inputs, build=lambda draft: _announced(stage, name, build, draft)
            )
        if any(artifact.digest == entry["digest"] for entry in self.journal):
            return artifact  # used before in this command, and logged then
        metrics.count("artifacts", stage=stage, result="reused" if reused else "made")
        line = _line(artifact.summary)
        if reused:
            level = logging.DEBUG if self.is_trial else logging.INFO
            log.log(level, "%s %s: reused %s (%s)", stage, name, artifact.where, line)
        else:
            log.info("%s %s: made %s in %.1f s (%s)", stage, name, artifact.where, watch.seconds, line)
        self.journal.append(
            {
                "stage": stage,
                "name": name,
                "digest": artifact.digest,
                "seconds": artifact.manifest["seconds"],
                "reused": reused,
                "summary": line,
            }
        )
        return artifact


def _line(summary: Mapping[str, Any]) -> str:
    if "shown" in summary:
        return str(summary["shown"])
    return ", ".join(f"{key} {value}" for key, value in summary.items() if isinstance(value, str | int))


def _announced(stage: str, name: str, build: Callable[[Draft], Mapping[str, Any]], draft: Draft) -> Mapping[str, Any]:
    log.info("%s %s: starts", stage, name)
    return build(draft)
