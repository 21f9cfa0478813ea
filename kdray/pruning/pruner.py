"""Frozen pruning: what was fitted once decides about any other text, without teachers, graph or cluster."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from kdray.errors import ConfigError
from kdray.origin import is_defined, shown
from kdray.pruning.apply import drop_sentences
from kdray.pruning.clusters import Clusters
from kdray.pruning.decisions import PolicyDecision, decided
from kdray.pruning.importance import Scale, TermStatistics, score
from kdray.pruning.policies import Fitted
from kdray.pruning.sentences import SPLITTER_VERSION
from kdray.pruning.settings import PruneSettings
from kdray.pruning.splitters import RULES
from kdray.pruning.units import Level, text_column, units_of
from kdray.store.checksum import has_right_checksum, with_checksum
from kdray.utf8 import is_text

FILE = "pruner.json"
FORMAT = 2


@dataclass(frozen=True)
class Pruner:
    """Pruning as fitted on one split.

    Attributes:
        settings: The ``prune`` section it was fitted with.
        level: What a unit is, after ``auto`` was decided.
        statistics: Inverse document frequencies.
        scale: The scores that mean importance 0 and 1.
        threshold: Units of lower importance fall.
        splitter: The version of kdray's own sentence splitter.
    """

    settings: PruneSettings
    level: Level
    statistics: TermStatistics
    scale: Scale
    threshold: float
    splitter: int = SPLITTER_VERSION

    def decide(self, units: pa.Table) -> pa.Table:
        """Decide about units from their own words alone: the same for any sharding, with no medoid protected.

        Args:
            units: From `units_of`, or from `row_units` with *all* rows of a split: at level row every class
                keeps some rows, which a part does not show. Measuring other splits than train is fine, applying is not.

        Returns:
            Decisions, with the columns that `decided` describes.
        """
        importance = self.scale.importance(score(text_column(units), self.statistics, self.settings.score))
        below = importance < self.threshold
        clusters = Clusters.none(units.num_rows)
        return decided(units, PolicyDecision(importance, below, clusters, False), self.settings, self.level)

    def prune(self, texts: Iterable[str]) -> list[str]:
        """Shorten texts before a model sees them; each keeps at least one sentence. Pass original texts only.

        Raises:
            ConfigError: The pruner drops whole training examples, or was fitted on an evaluation split; or it is given
                something else than a list of texts.
        """
        if self.level == "row":
            raise ConfigError(
                "This pruner drops whole training examples, so it cannot shorten texts; leave texts as they are."
            )
        if self.settings.fit_on == "split":
            raise ConfigError(
                "This pruner was fitted with prune.fit_on = split; inference needs one with prune.fit_on = train."
            )
        if isinstance(texts, str | bytes):
            raise ConfigError("prune takes a list of texts; put the one text into a list.")
        if isinstance(texts, Mapping) or not hasattr(texts, "__iter__"):
            raise ConfigError(f"prune takes a list of texts, not a {type(texts).__name__}.")
        texts = list(texts)
        for row, text in enumerate(texts):
            if not is_text(text):
                raise ConfigError(f"Row {row}: {text!r} is not a text of valid Unicode; correct or remove it.")
        table = pa.table({"id": np.arange(len(texts)), "text": pa.array(texts, pa.string())})
        units = units_of(table, ["text"], splitter=self.settings.splitter)
        return drop_sentences(table, ["text"], self.decide(units))["text"]

    def save(self, folder: Path) -> None:
        """Write one JSON file into a folder, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            "splitter": self.splitter,
            "settings": self.settings.model_dump(),
            "level": self.level,
            "lo": self.scale.lo,
            "hi": self.scale.hi,
            "threshold": self.threshold,
            "num_units": self.statistics.num_units,
            "idf": dict(self.statistics.idf),
        }
        text = json.dumps(with_checksum(content), ensure_ascii=False, allow_nan=False, indent=0)
        (folder / FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> "Pruner":
        """Read what `save` wrote; every number comes back exactly.

        Raises:
            ConfigError: There is no such file, or it is damaged or of another version.
        """
        try:
            path = Path(folder) / FILE
        except TypeError as error:
            raise ConfigError(f"load takes the folder that a fitted pruner was saved to, not {folder!r}.") from error
        content = _read(path)
        if (content.get("format"), content.get("splitter")) != (FORMAT, SPLITTER_VERSION):
            raise ConfigError(
                f"{path} has format {content.get('format')!r} and splitter {content.get('splitter')!r}, but this "
                f"version of kdray reads format {FORMAT} and splitter {SPLITTER_VERSION}; fit it again."
            )
        if not has_right_checksum(content):
            raise ConfigError(f"{path} is damaged (its checksum does not match its contents); fit it again.")
        try:
            _check_splitter(path, str(content["settings"].get("splitter", RULES)))
            return cls(
                _settings(content["settings"]),
                content["level"],
                TermStatistics(content["num_units"], content["idf"]),
                Scale(content["lo"], content["hi"]),
                content["threshold"],
            )
        except (KeyError, ValidationError) as error:
            raise ConfigError(f"{path} is damaged ({str(error).splitlines()[0]}); fit it again.") from error


def _check_splitter(path: Path, name: str) -> None:
    """No code that a folder names is run."""
    if ":" in name and not is_defined(name):
        raise ConfigError(
            f"{path} was fitted with the splitter {shown(name)}, which is not defined in this process, or whose source "
            f"has changed since; import {shown(name).rpartition(':')[2]} from its file first."
        )


def _settings(plain: dict[str, Any]) -> PruneSettings:
    """Those of a saved pruner, without the code of a policy from outside."""
    name = plain["policy"]["name"]
    policy = Fitted(name=name) if ":" in name else plain["policy"]
    return PruneSettings.model_validate({**plain, "policy": policy})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path} does not exist; give the folder of a saved pruner.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is damaged ({error}); fit it again.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is damaged (it holds no record); fit it again.")
    return content
