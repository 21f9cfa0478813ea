"""Stage `prune`: units, embeddings, graph, importance, and the corpus without the dropped units."""

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kdray import metrics
from kdray.arrow_io import TableMap
from kdray.config import PruneSection
from kdray.corpora import StoredCorpus, save_splits
from kdray.distillation import TeacherRef
from kdray.engines import InProcess
from kdray.errors import ConfigError, plural
from kdray.models import resolve_encoder
from kdray.origin import sources_of
from kdray.pruning import (
    Fit,
    PruneSettings,
    changed_texts,
    fit_scores,
    freeze,
    level_counts,
    part_maps,
    picture,
    prune_fitted,
    resolve_level,
    summary,
    units_at,
)
from kdray.pruning.clusters import Clusters
from kdray.pruning.duplicates import find_duplicates
from kdray.pruning.graph import unit_vectors
from kdray.pruning.parts import Vectors
from kdray.pruning.splitters import RULES, identity
from kdray.pruning.tables import sentence_fields
from kdray.pruning.units import Level, Role, joined_texts, prunable_fields
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored
from kdray.stages.embeddings import READING, Embedder, embedded
from kdray.stages.outputs import load_teacher
from kdray.stages.resumable_map import PART_ROWS, map_resumable, split_rows
from kdray.store import Artifact, Draft, WorkFolder, digest_of
from kdray.tasks import get_task
from kdray.teachers import TeacherInference

log = logging.getLogger(__name__)

SHOWN_EXAMPLES = 20  # texts that pruning changed
FEW = 64 * PART_ROWS  # rows whose words are counted sooner here than workers start


def needs_teachers(section: PruneSection) -> bool:
    return section.needs_embeddings and section.embedders == "teachers"


def prune(section: PruneSection, corpus: Artifact, teachers: Sequence[TeacherRef], context: Context) -> Artifact:
    """The pruned corpus: every split as parquet, `decisions.parquet` (units of train), and the fitted pruner; where
    near-duplicates are looked for also `duplicates.parquet` and `conflicts.parquet` (rows of train)."""
    refuse_tags(section, load_stored(corpus).task.kind)
    settings = PruneSettings.model_validate(section.model_dump(exclude={"embedders"}))
    embedders = embedders_of(section, teachers, context)
    plain = settings.model_dump(mode="json")
    plain["policy"]["name"] = settings.policy.identity
    if settings.splitter == RULES:  # so that corpora of these keep their digests
        del plain["splitter"]
    else:
        plain["splitter"] = identity(settings.splitter)
    inputs = {"corpus": corpus.digest} | {f"embedder{i}": each.digest for i, each in enumerate(embedders)}
    work = context.store.work(digest_of("prune", settings=plain, inputs=inputs))
    task = load_stored(corpus).task.name
    seen = len(context.journal)
    with metrics.tagged(task=task):
        artifact = context.make(
            "prune",
            f"{task}-{settings.policy.label}",
            settings=plain,
            inputs=inputs,
            build=lambda draft: _Pruning(settings, load_stored(corpus), embedders, draft, context, work).build(),
        )
    work.clear()
    is_new = any(not (entry["reused"] and context.is_trial) for entry in context.journal[seen:])
    if is_new and artifact.summary["level"] == "row" and (dropped := artifact.summary["num_changed"]):
        rows = plural(artifact.summary["num_rows"], "training row")
        log.info("prune %s: %s of %s are dropped whole; prune.policy.name=none keeps them", task, f"{dropped:,}", rows)
    return artifact


def refuse_tags(section: PruneSection, kind: str) -> None:
    """
    Raises:
        ConfigError: The rows are tagged tokens, none of which may be removed.
    """
    if get_task(kind).target == "tags" and not section.changes_nothing:
        raise ConfigError(
            f"prune.policy = {section.policy.name} could remove tagged tokens, and the task {kind} needs all of them; "
            "set prune.policy = none."
        )


def record(pruned_corpus: Artifact) -> dict[str, Any]:
    """What a report shows of a pruned corpus; `kdray.results.Prune` names the keys."""
    found, labels = pruned_corpus.summary, load_stored(pruned_corpus).task.labels
    changed = changed_texts(pq.read_table(pruned_corpus.file("decisions.parquet")), SHOWN_EXAMPLES)
    return {
        "policy": found["policy"],
        "level": found["level"],
        "units": found["num_units"],
        "kept": found["num_kept"],
        "per_class": {
            labels[int(label)] if label.isdecimal() else label: {
                "units": each["num_units"],
                "kept": each["num_units_kept"],
            }
            for label, each in found["classes"].items()
        },
        "examples": [
            {"before": [text for text, _ in each["units"]], "kept": [kept for _, kept in each["units"]]}
            for each in changed
        ],
        **found.get("picture", {}),
    }


def embedders_of(section: PruneSection, teachers: Sequence[TeacherRef], context: Context) -> list[Embedder]:
    """Each model whose embeddings are needed; none if none are."""
    if not section.needs_embeddings:
        return []
    if section.embedders == "teachers":
        return [Embedder(t.trained.digest, partial(_teacher_embedder, context.store.uri, t)) for t in teachers]
    return [Embedder(resolve_encoder(section.embedders).digest, partial(encoder_embedder, section.embedders))]


def _teacher_embedder(store: str, teacher: TeacherRef) -> TeacherInference:
    labels = [str(i) for i in range(teacher.info.classes)]
    return load_teacher(
        store, teacher.trained, name=teacher.info.name, labels=labels, kinds=("sent_emb",), embeds_only=True, **READING
    )


def encoder_embedder(encoder: str) -> TeacherInference:
    """An encoder that embeds units."""
    folder = resolve_encoder(encoder).folder
    return TeacherInference(folder, name=encoder, labels=("0", "1"), kinds=("sent_emb",), embeds_only=True, **READING)


@dataclass(frozen=True)
class _Pruning:
    """One pruned corpus in the making."""

    settings: PruneSettings
    stored: StoredCorpus
    embedders: Sequence[Embedder]
    draft: Draft
    context: Context
    work: WorkFolder

    def build(self) -> dict[str, Any]:
        settings, draft = self.settings, self.draft
        train, found, made = self._without_duplicates()
        units, level = self._units(train)
        statistics = freeze(part_maps.counted(self._each(units, part_maps.counts, "terms"), len(units)))
        scores = part_maps.scored(self._each(units, partial(part_maps.scores, statistics, settings.score), "scores"))
        embeddings = self._embeddings(units, level, made)
        fit = fit_scores(units, scores, embeddings, settings, level=level, statistics=statistics, run=self._elsewhere)
        pruned = prune_fitted(train, self.roles, fit.pruner, fit.decisions, is_train=True)
        splits = {"train": pruned.table} | self._others(fit, level)
        fit.pruner.save(draft.folder)
        pq.write_table(fit.decisions, draft.file("decisions.parquet"), compression="zstd")
        info = dict(self.stored.info) | {"rows": {split: table.num_rows for split, table in splits.items()}}
        save_splits(splits, {"task": _task(self.stored), "info": info}, draft.folder)
        return summary(fit.decisions, train) | {
            "policy": settings.policy.label,
            "level": level,
            "silhouette": fit.silhouette,
            "duplicates": found,
            "warnings": list(fit.warnings),
            "picture": picture(fit.decisions, fit.pruner.threshold),
        }

    @property
    def roles(self) -> list[tuple[str, Role]]:
        return [(field.name, field.role) for field in self.stored.task.fields]

    def _each(self, table: pa.Table, factory: Callable[[], TableMap], name: str) -> Iterator[pa.Table]:
        """What the map makes of every part of the rows."""
        context = self.context if len(table) > FEW else replace(self.context, engine=InProcess())
        title = f"prune {self.stored.task.name} {name}"
        if not isinstance(context.engine, InProcess) and (
            sources := sources_of([self.settings.splitter, self.settings.policy])
        ):
            factory = partial(part_maps.with_sources, sources, pickle.dumps(factory))
        return map_resumable(split_rows(table), factory, context, self.work, name, title=title)

    def _units(self, train: pa.Table) -> tuple[pa.Table, Level]:
        """The units and their level; where it is open, sentences are made first and counted."""
        settings = self.settings
        names = prunable_fields(self.roles, prune_pairs=settings.prune_pairs)
        if settings.level == "sentence":
            names = sentence_fields(self.roles, settings)
        if settings.level == "row" or (settings.level == "auto" and not names):
            return units_at(train, self.roles, settings, level="row"), "row"
        found = self._each(train, partial(part_maps.sentences, self.roles, settings), "units")
        units = part_maps.joined(found, map(len, split_rows(train)))
        level = resolve_level(settings, level_counts(units, len(train), min_keep=settings.min_keep))
        return (units if level == "sentence" else units_at(train, self.roles, settings, level=level)), level

    def _embeddings(self, units: pa.Table, level: Level, made: list[np.ndarray]) -> list[np.ndarray]:
        if self.settings.medoid_rule == "none":
            return []
        if level == "row" and made:  # the units are the rows, which were embedded already
            return made
        name = f"{self.stored.task.name}-{level}"
        return [embedded(units["text"], each, self.context, name=name) for each in self.embedders]

    def _elsewhere(self, function: Callable[[Vectors], Clusters], parts: Sequence[Vectors]) -> Iterator[Clusters]:
        """`map`, on the engine's workers."""
        title = f"prune {self.stored.task.name} graph"
        tables = [part_maps.as_rows(part) for part in parts]
        return part_maps.as_clusters(
            map_resumable(
                tables, partial(part_maps.clusters_of, function), self.context, self.work, "graph", title=title
            )
        )

    def _without_duplicates(self) -> tuple[pa.Table, dict[str, int] | None, list[np.ndarray]]:
        """The training rows that are left, how many were found, and the embeddings of those that are left, if made.

        Both tables of what was found are written.
        """
        stored, draft = self.stored, self.draft
        train, wanted = stored.table("train"), self.settings.duplicates
        if wanted is None:
            return train, None, []
        rows = pa.chunked_array([joined_texts(train, [field.name for field in stored.task.fields])], pa.string())
        made = [embedded(rows, each, self.context, name=f"{stored.task.name}-row") for each in self.embedders]
        found = find_duplicates(unit_vectors(made, self.settings.edge), stored.labels("train"), wanted)
        same, conflicts = found.tables(train["id"].to_pylist())
        pq.write_table(same, draft.file("duplicates.parquet"), compression="zstd")
        pq.write_table(conflicts, draft.file("conflicts.parquet"), compression="zstd")
        dropped = found.dropped if wanted.action == "drop" else np.zeros(len(train), dtype=np.bool_)
        counts = {"rows": len(same), "dropped": int(dropped.sum()), "conflicts": len(conflicts)}
        return train.filter(pa.array(~dropped)), counts, [each[~dropped] for each in made]

    def _others(self, fit: Fit, level: Level) -> dict[str, pa.Table]:
        """The splits models are scored on, shortened by frozen statistics; level row leaves them as they are."""
        if level == "row":
            return {}
        tables = {split: self.stored.table(split) for split in self.stored.scored}
        whole = pa.concat_tables(list(tables.values()))
        factory = partial(part_maps.shortens, self.roles, fit.pruner)
        shortened = pa.concat_tables(list(self._each(whole, factory, "scored")))
        ends = np.cumsum([len(table) for table in tables.values()]).tolist()
        return {
            split: shortened.slice(end - len(table), len(table))
            for (split, table), end in zip(tables.items(), ends, strict=True)
        }


def _task(stored: StoredCorpus) -> dict[str, Any]:
    task = stored.task
    fields = [{"name": field.name, "role": field.role} for field in task.fields]
    return {
        "name": task.name,
        "fields": fields,
        "labels": list(task.labels),
        "metrics": list(task.metrics),
        "kind": task.kind,
    }
