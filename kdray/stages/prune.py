"""Stage `prune`: units, embeddings, graph, importance, and the corpus without what fell."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kdray.config import PruneSection
from kdray.corpora import StoredCorpus, save_splits
from kdray.distil import TeacherRef
from kdray.models import resolve_encoder
from kdray.prune import (
    Fit,
    Pruner,
    PruneSettings,
    level_counts,
    prune_fitted,
    prune_table,
    resolve_level,
    summary,
    units_at,
)
from kdray.prune import fit as fit_pruning
from kdray.prune.duplicates import find_duplicates
from kdray.prune.graph import unit_vectors
from kdray.prune.units import Level, Role, joined_texts, prunable_fields
from kdray.stages.context import Context, TableMap
from kdray.stages.corpus import opened
from kdray.stages.embeddings import READING, Embedder, embedded
from kdray.stages.outputs import load_speaker
from kdray.store import Artifact, Draft
from kdray.teachers import Speaker


def needs_teachers(section: PruneSection) -> bool:
    return section.needs_embeddings and section.embedders == "teachers"


def prune(section: PruneSection, corpus: Artifact, teachers: Sequence[TeacherRef], context: Context) -> Artifact:
    """The pruned corpus: every split as parquet, `decisions.parquet` (units of train), and the fitted pruner; where
    near-duplicates are looked for also `duplicates.parquet` and `conflicts.parquet` (rows of train)."""
    settings = PruneSettings.model_validate(section.model_dump(exclude={"embedders"}))
    embedders = _embedders(section, teachers, context)
    return context.make(
        "prune",
        f"{opened(corpus).task.name}-{settings.policy.name}",
        settings=settings.model_dump(mode="json"),
        inputs={"corpus": corpus.digest} | {f"embedder{i}": each.digest for i, each in enumerate(embedders)},
        build=lambda draft: _build(settings, opened(corpus), embedders, draft, context),
    )


def _embedders(section: PruneSection, teachers: Sequence[TeacherRef], context: Context) -> list[Embedder]:
    """Each model whose embeddings are needed; none if none are."""
    if not section.needs_embeddings:
        return []
    if section.embedders == "teachers":
        return [Embedder(t.model.digest, partial(_teacher_embedder, context.store.uri, t)) for t in teachers]
    return [Embedder(resolve_encoder(section.embedders).digest, partial(encoder_embedder, section.embedders))]


def _teacher_embedder(store: str, teacher: TeacherRef) -> Speaker:
    labels = [str(i) for i in range(teacher.classes)]
    return load_speaker(
        store, teacher.model, name=teacher.name, labels=labels, kinds=("sent_emb",), embeds_only=True, **READING
    )


def encoder_embedder(encoder: str) -> Speaker:
    """An encoder that embeds units."""
    folder = resolve_encoder(encoder).folder
    return Speaker(folder, name=encoder, labels=("0", "1"), kinds=("sent_emb",), embeds_only=True, **READING)


def _build(
    settings: PruneSettings, stored: StoredCorpus, embedders: Sequence[Embedder], draft: Draft, context: Context
) -> dict[str, Any]:
    train, found, made = _without_duplicates(settings, stored, embedders, draft, context)
    roles: list[tuple[str, Role]] = [(field.name, field.role) for field in stored.task.fields]
    names = prunable_fields(roles, prune_pairs=settings.prune_pairs)
    level = resolve_level(settings, level_counts(train, names, min_keep=settings.min_keep))
    units = units_at(train, roles, settings, level=level)
    if settings.protection == "none":
        embeddings = []
    elif level == "example" and made:  # the units are the rows, which were embedded already
        embeddings = made
    else:
        name = f"{stored.task.name}-{level}"
        embeddings = [embedded(units["text"], each, context, name=name) for each in embedders]
    fitted = fit_pruning(units, embeddings, settings, level=level)
    pruned = prune_fitted(train, roles, fitted.pruner, fitted.decisions, is_train=True)
    splits = {"train": pruned.table} | _others(stored, roles, fitted, level, context)
    fitted.pruner.save(draft.folder)
    pq.write_table(fitted.decisions, draft.file("decisions.parquet"), compression="zstd")
    info = dict(stored.info) | {"rows": {split: table.num_rows for split, table in splits.items()}}
    save_splits(splits, {"task": _task(stored), "info": info}, draft.folder)
    counted = summary(fitted.decisions, train)
    return counted | {
        "policy": settings.policy.name,
        "level": level,
        "silhouette": fitted.silhouette,
        "duplicates": found,
        "warnings": list(fitted.warnings),
    }


def _without_duplicates(
    settings: PruneSettings,
    stored: StoredCorpus,
    embedders: Sequence[Embedder],
    draft: Draft,
    context: Context,
) -> tuple[pa.Table, dict[str, int] | None, list[np.ndarray]]:
    """The training rows that are left, how many were found, and the embeddings of those that are left, if made.

    Both tables of what was found are written.
    """
    train, wanted = stored.table("train"), settings.duplicates
    if wanted is None:
        return train, None, []
    rows = pa.chunked_array([joined_texts(train, [field.name for field in stored.task.fields])], pa.string())
    made = [embedded(rows, each, context, name=f"{stored.task.name}-example") for each in embedders]
    found = find_duplicates(unit_vectors(made, settings.edge), stored.labels("train"), wanted)
    same, conflicts = found.tables(train["id"].to_pylist())
    pq.write_table(same, draft.file("duplicates.parquet"), compression="zstd")
    pq.write_table(conflicts, draft.file("conflicts.parquet"), compression="zstd")
    dropped = found.dropped if wanted.action == "drop" else np.zeros(len(train), dtype=np.bool_)
    counts = {"rows": len(same), "dropped": int(dropped.sum()), "conflicts": len(conflicts)}
    return train.filter(pa.array(~dropped)), counts, [each[~dropped] for each in made]


def _others(stored: StoredCorpus, roles: list[Any], fitted: Fit, level: Level, context: Context) -> dict[str, pa.Table]:
    """The splits that models are scored on, shortened by frozen statistics; level example leaves them as they are."""
    if level == "example":
        return {}
    tables = {split: stored.table(split) for split in stored.scored}
    factory = partial(_pruning, fitted.pruner, roles)
    shards = context.engine.map(pa.concat_tables(list(tables.values())), factory, title=f"prune {stored.task.name}")
    shortened = pa.concat_tables(list(shards))
    at = {row: i for i, row in enumerate(shortened["id"].to_pylist())}
    return {split: shortened.take([at[row] for row in t["id"].to_pylist()]) for split, t in tables.items()}


def _pruning(pruner: Pruner, roles: list[Any]) -> TableMap:
    return lambda table: prune_table(table, roles, pruner, is_train=False).table


def _task(stored: StoredCorpus) -> dict[str, Any]:
    task = stored.task
    fields = [{"name": field.name, "role": field.role} for field in task.fields]
    return {"name": task.name, "fields": fields, "labels": list(task.labels), "metrics": list(task.metrics)}
