"""What pruning does to a student's scores and speed: the tables of S0 ("effect of pruning", "speed-up").

S0 very probably scored the pruned data on fewer rows than the base: whole rows had been dropped. Both readings are
given apart: all rows with shortened texts, and the rows that are kept as they are, with their share of all rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from kdray.config import RunConfig
from kdray.corpora import TEST, encode
from kdray.errors import ConfigError
from kdray.evaluate import predict
from kdray.evaluate.latency import median_ms
from kdray.models import load_classifier, load_tokenizer
from kdray.pruning import Pruner, PruneSettings, count_terms, fit, freeze, prune_table, score, units_of
from kdray.pruning.importance import Scale
from kdray.pruning.policies import limit_threshold, threshold_of
from kdray.pruning.units import Role, prunable_fields, row_units, text_column
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored
from kdray.stages.embeddings import embedded
from kdray.stages.prepare import Prepared
from kdray.stages.prune import embedders_of
from kdray.stages.train_stage import result_of
from kdray.store import Artifact
from kdray.tasks import score_all
from kdray.train import Rows

POLICIES = ("lower_tail", "literal", "literal_centers", "bottom_quintile", "match_rate")
PRINTED_RATES = {"sst2": 0.057, "rte": 0.328, "qnli": 0.317}  # S0: dropped share of dev, in `match_rate`'s row
TIMED_ROWS, BATCH_ROWS = 128, 32


def pruning_effect(
    run: RunConfig, prepared: Prepared, student: Artifact, context: Context
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One row a policy, of scores and of times, for a trained student on the test split.

    Scores: `pruned` is the share of the test split's sentences that statistics of train remove; `accuracy` and
    `macro F1` of the shortened texts, next to those of whole texts (`base`). `rows kept` is the share of whole rows
    that the policy keeps by statistics of the test split itself; `kept accuracy` and `kept macro F1` are those of
    whole texts on just these rows.

    Times, in milliseconds for `TIMED_ROWS` rows in batches of `BATCH_ROWS` padded to their longest, medians of
    `REPEATS` after `WARM_UP`: the forward pass, and all of pruning, tokenizing and forward; `bound` is what the number
    of tokens allows.

    Raises:
        ConfigError: The run prunes nothing.
    """
    if run.prune.policy.name == "none":
        raise ConfigError("prune.policy = none: there is no pruning whose effect could be measured.")
    stored = load_stored(prepared.corpus)  # of single labels: `check_method` refuses to prune others
    roles: list[tuple[str, Role]] = [(field.name, field.role) for field in stored.task.fields]
    test, labels = stored.table(TEST), np.asarray(stored.labels(TEST))
    model = _Model.of(student, [name for name, _ in roles])
    base = model.scored(test)
    plain = score_all(stored.task.metrics, labels, base)
    names = prunable_fields(roles, prune_pairs=run.prune.prune_pairs)
    pruner_of = _frozen(stored.table("train"), names, run.prune) if names else None
    whole = row_units(_labeled(test), [name for name, _ in roles])
    embeddings = [
        embedded(whole["text"], each, context, name=f"{stored.task.name}-test")
        for each in embedders_of(run.prune, prepared.teachers, context)
    ]
    scores: list[dict[str, Any]] = []
    times: list[dict[str, Any]] = []
    whole_time = model.timed(lambda: test.slice(0, TIMED_ROWS))
    for settings in _every_policy(run.prune, stored.task.name):
        row: dict[str, Any] = {"policy": settings.policy.label}
        if pruner_of is not None:
            is_own = settings.policy.name == run.prune.policy.name
            pruner = (_stored(prepared.pruned_corpus) if is_own else None) or pruner_of(settings)
            shorter = prune_table(test, roles, pruner, is_train=False)
            found = score_all(stored.task.metrics, labels, model.scored(shorter.table))
            row |= {"pruned": 1 - float(np.mean(shorter.decisions["kept"].to_numpy()))}
            row |= {"base accuracy": plain["accuracy"], "accuracy": found["accuracy"]}
            row |= {"base macro F1": plain["macro_f1"], "macro F1": found["macro_f1"]}
            first = test.slice(0, TIMED_ROWS)
            mine = model.timed(lambda: prune_table(first, roles, pruner, is_train=False).table)  # noqa: B023
            times.append({"policy": settings.policy.label} | whole_time.against(mine))
        kept = _kept(whole, embeddings, settings)
        if kept is not None:
            on_kept = score_all(stored.task.metrics, labels[kept], base[kept])
            row |= {"rows kept": float(kept.mean()), "kept accuracy": on_kept["accuracy"]}
            row |= {"kept macro F1": on_kept["macro_f1"]}
        scores.append(row)
    return scores, times


def _stored(pruned_corpus: Artifact | None) -> Pruner | None:
    """The run's own pruner, as it was fitted; None where it pruned whole rows."""
    found = None if pruned_corpus is None else Pruner.load(pruned_corpus.folder)
    return found if found is not None and found.level == "sentence" else None


def _frozen(train: pa.Table, names: Sequence[str], section: PruneSettings) -> Callable[[PruneSettings], Pruner]:
    """Pruners of any policy, by statistics of the training split's sentences."""
    texts = text_column(units_of(train, names, splitter=section.splitter))
    terms = freeze(count_terms(texts))
    scores = score(texts, terms, section.score)
    scale = Scale.of(scores)
    importance = scale.importance(scores)

    def pruner(settings: PruneSettings) -> Pruner:
        wanted = threshold_of(settings.policy, importance)
        return Pruner(
            settings, "sentence", terms, scale, limit_threshold(importance, wanted, settings.prune_rate_limit)
        )

    return pruner


@dataclass(frozen=True)
class _Times:
    """Median milliseconds, and tokens read."""

    making: float
    encoding: float
    forward: float
    tokens: int

    def against(self, pruned: "_Times") -> dict[str, Any]:
        return {
            "forward base ms": self.forward,
            "forward ms": pruned.forward,
            "speed-up": self.forward / pruned.forward,
            "all base ms": self.encoding + self.forward,
            "all ms": pruned.making + pruned.encoding + pruned.forward,
            "speed-up of all": (self.encoding + self.forward) / (pruned.making + pruned.encoding + pruned.forward),
            "bound": self.tokens / pruned.tokens,
        }


@dataclass(frozen=True)
class _Model:
    """A trained student on this machine."""

    model: Any
    tokenizer: Any
    fields: Sequence[str]
    max_length: int
    device: torch.device

    @staticmethod
    def of(student: Artifact, fields: Sequence[str]) -> "_Model":
        folder, spec = student.file("model"), result_of(student)["spec"]
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = load_classifier(folder, labels=spec["labels"], seed=0).to(device)
        return _Model(model, load_tokenizer(folder), fields, spec["train"]["max_length"], device)

    def rows(self, table: pa.Table) -> Rows:
        encoded = encode(self.tokenizer, [table[name].to_pylist() for name in self.fields], max_length=self.max_length)
        return Rows(table["id"].to_pylist(), encoded, torch.full((len(table),), -1), self.tokenizer.pad_token_id)

    def scored(self, table: pa.Table) -> np.ndarray:
        return self._logits(self.rows(table))

    def timed(self, make: Callable[[], pa.Table]) -> _Times:
        table = make()
        rows = self.rows(table)
        return _Times(
            making=median_ms(make),
            encoding=median_ms(lambda: self.rows(table)),
            forward=median_ms(lambda: self._logits(rows)),
            tokens=int(rows.encoded.lengths.sum()),
        )

    def _logits(self, rows: Rows) -> np.ndarray:
        return predict(self.model, rows, batch_size=BATCH_ROWS, device=self.device, precision="fp32")


def _every_policy(section: PruneSettings, task: str) -> list[PruneSettings]:
    """All policies with their own defaults, the run's as it was set; how units are read and scored is the run's."""
    plain: dict[str, Any] = {"score": section.score, "prune_pairs": section.prune_pairs, "min_keep": section.min_keep}
    own = PruneSettings.model_validate(section.model_dump(include=set(PruneSettings.model_fields)))
    found: list[PruneSettings] = []
    for name in POLICIES:
        policy: Mapping[str, Any] = {"name": name}
        if name == own.policy.name:
            found.append(own)
            continue
        if name == "match_rate":
            if task not in PRINTED_RATES:
                continue
            policy = {"name": name, "rate": PRINTED_RATES[task]}
        found.append(PruneSettings.model_validate(plain | {"policy": policy}))
    return found if own in found else [own, *found]


def _kept(whole: pa.Table, embeddings: Sequence[np.ndarray], settings: PruneSettings) -> np.ndarray | None:
    """Which rows of the split the policy keeps, by statistics of the split itself; None: its graph is not there."""
    unused = {"min_keep", "prune_pairs", "duplicates"} | ({"edge"} if settings.medoid_rule == "none" else set[str]())
    plain = settings.model_dump(exclude=unused)
    chosen = PruneSettings.model_validate(plain | {"level": "row", "fit_on": "split"})
    if chosen.medoid_rule == "none":
        embeddings = []
    elif not embeddings:
        return None
    return fit(whole, embeddings, chosen, level="row").decisions["kept"].to_numpy().astype(np.bool_)


def _labeled(test: pa.Table) -> pa.Table:
    """Rows without a label are a class of their own, as nothing here may fall for having none."""
    label = test.column_names.index("label")
    return test.set_column(label, "label", test["label"].fill_null(-1))
