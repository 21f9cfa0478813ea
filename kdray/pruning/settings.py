"""The settings of pruning, as a run file gives them under ``prune``."""

import json
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kdray.pruning.graph import Edge
from kdray.pruning.importance import ScoreKind
from kdray.pruning.policies import LowerTail, MedoidRule, Policy
from kdray.pruning.sklearn_clustering import COUNTED
from kdray.pruning.splitters import RULES, checked
from kdray.pruning.units import Level, LevelCounts
from kdray.records import Name, Settings

AUTO_SHARE = 0.05  # of the training examples; below, removing sentences has almost no effect


class DuplicateSettings(Settings):
    """What to do with near-duplicate training rows.

    Attributes:
        threshold: Cosine of two rows' embeddings from which they are duplicates.
        action: `report` them, or `drop` all but one of those with equal labels.
        keep: The one with the most similarity to its duplicates (`central`), or the `first`.
        min_per_class: Rows that every class keeps at least (all, if it has fewer).
    """

    threshold: float = Field(default=0.95, gt=0, le=1)
    action: Literal["report", "drop"] = "report"
    keep: Literal["central", "first"] = "central"
    min_per_class: int = Field(default=1, ge=1, le=1_000_000_000)


class PruneSettings(Settings):
    """Which texts are removed before a student is trained. A setting without effect is refused.

    Attributes:
        policy: Which units are dropped; a name alone means its defaults (``policy: literal``).
        level: ``sentence`` shortens texts; ``row`` drops whole training rows; ``auto`` takes the first where at
            least 5 % of the training examples have a field of several sentences.
        splitter: What cuts texts into sentences: kdray's own ``rules``, the package ``pysbd`` (``pysbd-de`` for German
            and so on), or a function of your own, ``my_file.py:NAME``, from a text to the list of its sentences.
        fit_on: Scores and thresholds are fitted on the training split and frozen, or on the split at hand.
        keep_medoids: Which medoids are always kept: of ``star`` clusters, strongest neighbors (``nn``), those of
            another clustering (S0 Figure 3), or none. None takes the policy's default.
        num_clusters: For the clusterings that need a number; None is the root of half the units, rounded up.
        min_keep: Sentences that every field keeps at least (all, if it has fewer).
        min_per_class: Training examples that every class keeps at least, at level row.
        max_prune_rate: The largest share of units below the threshold, which is lowered if needed. None takes the
            policy's default: 0.5, but 1 for policies with a fixed rate or the printed thresholds.
        score: `sum` or `mean` of a unit's TF-IDF vector.
        edge: How several teachers' embeddings make one weight. None takes ``mean_embedding`` where widths agree and
            ``mean_cosine`` otherwise.
        prune_pairs: Prune both texts of a sentence pair too.
        duplicates: What to do with near-duplicate training rows, before pruning; None does not search for them.
    """

    policy: Policy = LowerTail()
    level: Literal["sentence", "row", "auto"] = "auto"
    splitter: Name = RULES
    fit_on: Literal["train", "split"] = "train"
    keep_medoids: MedoidRule | None = None
    num_clusters: int | None = Field(default=None, ge=2, le=1_000_000)
    min_keep: int = Field(default=1, ge=1, le=10_000)
    min_per_class: int = Field(default=1, ge=1, le=1_000_000_000)
    max_prune_rate: float | None = Field(default=None, gt=0, le=1)
    score: ScoreKind = "sum"
    edge: Edge | None = None
    prune_pairs: bool = False
    duplicates: DuplicateSettings | None = None

    @field_validator("policy", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    _splitter = field_validator("splitter")(checked)

    @model_validator(mode="after")
    def _nothing_ignored(self) -> "PruneSettings":
        changed = {name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default}
        for names, reason in self._unused():
            if ignored := sorted(changed & names):
                defaults = [json.dumps(type(self).model_fields[name].default).strip('"') for name in ignored]
                unset = ", ".join(f"{name}={default}" for name, default in zip(ignored, defaults, strict=True))
                raise ValueError(
                    f"{', '.join(ignored)} would be ignored, because {reason}; remove the setting, or give {unset}"
                )
        if self.policy.name == "literal_centers" and self.keep_medoids == "none":
            raise ValueError("keep_medoids = none makes policy literal_centers equal to literal; set policy = literal.")
        if self.policy.name == "match_rate" and self.policy.rate > self.prune_rate_limit:
            raise ValueError(
                f"policy.rate = {self.policy.rate} is above max_prune_rate = {self.prune_rate_limit}; "
                "lower it or raise that."
            )
        return self

    def _unused(self) -> list[tuple[set[str], str]]:
        unused: list[tuple[set[str], str]] = []
        if self.policy.name == "none":
            used = {"policy", "duplicates"} | ({"edge", "embedders"} if self.duplicates else set())
            unused.append((set(type(self).model_fields) - used, "policy is none"))
        if self.medoid_rule not in COUNTED:
            unused.append(({"num_clusters"}, f"keep_medoids = {self.medoid_rule} finds their number by itself"))
        if self.medoid_rule == "none":
            unused.append(
                ({"edge"} if self.duplicates is None else set(), "no medoid is protected and no graph is built")
            )
        if self.level == "row":
            unused.append(({"min_keep", "prune_pairs", "splitter"}, "level is row"))
        if self.level == "sentence":
            unused.append(({"min_per_class"}, "level is sentence"))
        return unused

    @property
    def medoid_rule(self) -> MedoidRule:
        """Which medoids are protected, after the policy's default."""
        return self.policy.default_keep_medoids if self.keep_medoids is None else self.keep_medoids

    @property
    def needs_embeddings(self) -> bool:
        """Whether embeddings are needed: for protected medoids, or for near-duplicates."""
        return self.medoid_rule != "none" or self.duplicates is not None

    @property
    def changes_nothing(self) -> bool:
        return self.policy.name == "none" and self.duplicates is None

    @property
    def prune_rate_limit(self) -> float:
        """The largest share of units below the threshold, after the policy's default."""
        return self.policy.default_max_prune_rate if self.max_prune_rate is None else self.max_prune_rate


def resolve_level(settings: PruneSettings, train: LevelCounts) -> Level:
    """The level of a run; ``auto`` is decided by the training split's counts alone."""
    if settings.level != "auto":
        return settings.level
    return "sentence" if train.num_divisible >= AUTO_SHARE * train.num_examples else "row"
