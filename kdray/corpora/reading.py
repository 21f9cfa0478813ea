"""From a corpus name or a user's folder to checked splits: find, check, split and describe."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kdray.corpora.empty import skipped_note
from kdray.corpora.finding import RawCorpus, from_function, from_name, from_user
from kdray.corpora.notes import UNLABELED, lone_note, overlap_note, size_note
from kdray.corpora.phrases import phrase_groups
from kdray.corpora.settings import CorpusSettings
from kdray.corpora.splits import HOST, PHRASES, carve, fold, limit_rows
from kdray.corpora.tasks import LANGUAGE, TEST, TRAIN, VALIDATION, Task
from kdray.corpora.validate import normalize
from kdray.errors import ConfigError
from kdray.origin import full_name
from kdray.tasks import get_task, mended

_SAMPLE_NOTE = "the sample that ships with kdray, not a benchmark"


@dataclass(frozen=True)
class Corpus:
    """A task with its rows.

    Attributes:
        task: fields, classes and metrics.
        splits: `train`, `validation`, `test` and the task's extra test splits; each with the columns `id` (string,
            unique over the corpus), one string column for each field, `language` where it counts, and `label` (int64
            where it is a class; null where a row of train has no label).
        note: what every result must show (a subset, a sample, a limit); None for a full official corpus.
        origin: where it was found, without a path of this machine.
        is_sample: whether it is the sample that ships with kdray.
        fingerprint: sha256 over ids, texts and labels in order; the same whatever the file format.
    """

    task: Task
    splits: Mapping[str, pa.Table]
    note: str | None
    origin: str
    is_sample: bool
    fingerprint: str


def read_corpus(settings: CorpusSettings, *, data_dir: Path | None) -> Corpus:
    """Find, read, check and split a corpus. A corpus that is named is never replaced by another.

    Args:
        settings: with any name but `auto`, which `resolve_auto` replaces first.
        data_dir: a folder of `<task>/<split>.parquet` (or .csv, .jsonl), see `kdray_data`; None looks only in the
            Hugging Face cache and on the hub.

    Raises:
        ConfigError: the corpus cannot be found, or one of its files, rows or columns is not as it must be.
    """
    assert settings.name != "auto", "resolve_auto comes first"
    if settings.is_own:
        task, raw = from_function(settings)
    else:
        task, raw = from_user(settings) if settings.name == "folder" else from_name(settings.name, data_dir)
    always = (name for name in get_task(task.kind).always if ":" in name)  # so that the digest holds their sources too
    metrics = (full_name(name, "metric") for name in (*(settings.metrics or task.metrics), *always))
    task = dataclasses.replace(task, metrics=tuple(dict.fromkeys(metrics)))
    if settings.language_field is not None:
        task = dataclasses.replace(task, language=settings.language_field)
    _refuse_unused(settings, task)
    splits = _split(_check(raw, task, {**task.columns, **settings.columns}), task, settings)
    return Corpus(
        task=task,
        splits=splits,
        note=_note(raw, task, settings, splits),
        origin=raw.origin,
        is_sample=settings.name == "sample",
        fingerprint=fingerprint(splits),
    )


def fingerprint(splits: Mapping[str, pa.Table]) -> str:
    """sha256 (64 hex digits) over the split names and every column's values, in order."""
    digest = hashlib.sha256()
    for split, table in splits.items():
        digest.update(f"{split}:{table.num_rows}\n".encode())
        for name in table.column_names[:-1]:
            # lengths first: the same characters split differently are other rows
            texts = table[name]
            if pa.types.is_list(texts.type):
                digest.update(pc.list_value_length(texts).to_numpy().astype("<i8").tobytes())
                texts = pc.list_flatten(texts)
            digest.update(pc.binary_length(texts).to_numpy().astype("<i8").tobytes())
            digest.update("".join(texts.to_pylist()).encode())
        for part in _label_parts(table["label"]):
            digest.update(part.astype("<i8" if part.dtype.kind == "i" else "<f8").tobytes())
    return digest.hexdigest()


def _label_parts(column: pa.ChunkedArray) -> list[np.ndarray]:
    """A column of labels as arrays that differ where its values do; an unlabeled row is -1, NaN or a length of -1."""
    if pa.types.is_integer(column.type):
        return [pc.fill_null(column, -1).to_numpy()]
    if pa.types.is_floating(column.type):
        return [pc.fill_null(column, float("nan")).to_numpy()]
    return [pc.fill_null(pc.list_value_length(column), -1).to_numpy(), pc.list_flatten(column).to_numpy()]


def _refuse_unused(settings: CorpusSettings, task: Task) -> None:
    """The part of the settings' own check that needs the user's folder: whether there is a split to select on."""
    if idle := settings.idle_on(task.name, task.validation_split):
        raise ConfigError(f"corpus.{idle}.")


def _check(raw: RawCorpus, task: Task, columns: Mapping[str, str]) -> dict[str, pa.Table]:
    may_lack_labels = (TRAIN, *task.extra_train)
    return {
        split: normalize(
            table,
            task=task,
            split=split,
            source=raw.sources[split],
            columns=columns,
            is_labeled=split not in may_lack_labels,
        )
        for split, table in raw.tables.items()
    }


def _split(checked: Mapping[str, pa.Table], task: Task, settings: CorpusSettings) -> dict[str, pa.Table]:
    parts = [checked[split] for split in (TRAIN, *task.extra_train) if split in checked]
    train = _of_languages(pa.concat_tables(parts), settings, TRAIN)
    columns = train.column_names
    group_by = None if task.validation_split is not None else _group_by(task, settings)
    if group_by is not None and _groups_phrases(task, settings):  # of all rows: a limit may leave the sentences out
        train = train.append_column(PHRASES, pa.array(phrase_groups(train[group_by].to_pylist())))
        group_by = PHRASES
    if settings.limit is not None:
        train = limit_rows(train, limit=settings.limit, seed=settings.split_seed)
    if task.validation_split is not None:
        select = _of_languages(checked[task.validation_split], settings, VALIDATION)
    else:
        names = task.labels
        if settings.fold is not None:
            index, of = settings.fold.index, settings.fold.of
            train, select = fold(train, index=index, of=of, seed=settings.split_seed, group_by=group_by, names=names)
        else:
            fraction = settings.validation_fraction or task.validation_fraction
            train, select = carve(train, fraction=fraction, seed=settings.split_seed, group_by=group_by, names=names)
        train, select = train.select(columns), select.select(columns)
    if train["label"].null_count == train.num_rows:
        raise ConfigError(f"{task.name} has no labeled row in train: at least one is needed.")
    extra = {name: checked[split] for name, split in task.extra_test.items() if split in checked}
    return {TRAIN: train, VALIDATION: select, TEST: checked[task.test_split], **extra}


def _of_languages(table: pa.Table, settings: CorpusSettings, split: str) -> pa.Table:
    """The rows of the languages that are trained and selected on."""
    if not settings.train_languages:
        return table
    there = pc.unique(table[LANGUAGE]).to_pylist()
    if missing := [each for each in settings.train_languages if each not in there]:
        raise ConfigError(
            f"corpus.train_languages: {split} has no row of {missing[0]!r}, only of {', '.join(sorted(there))}."
        )
    return table.filter(pc.is_in(table[LANGUAGE], pa.array(settings.train_languages)))


def _groups_phrases(task: Task, settings: CorpusSettings) -> bool:
    return task.group_phrases if settings.group_phrases is None else settings.group_phrases


def _group_by(task: Task, settings: CorpusSettings) -> str | None:
    """The field whose text keeps rows of train together; None where each row may go to either side."""
    group_by = settings.group_by or task.group_by
    name = None if group_by is None else group_by.removeprefix(HOST)
    if name is not None and name not in task.field_names:
        raise ConfigError(f"corpus.group_by = {name} is not a field; {task.name} has {', '.join(task.field_names)}.")
    if group_by != name and _groups_phrases(task, settings):
        raise ConfigError(f"corpus.group_by = {group_by} has no phrases: leave corpus.group_phrases out.")
    if group_by is None and _groups_phrases(task, settings):
        if len(task.field_names) > 1:
            raise ConfigError(
                f"corpus.group_phrases needs corpus.group_by where a row has several texts; {task.name} has "
                f"{', '.join(task.field_names)}."
            )
        return task.fields[0].name
    return group_by


def _note(raw: RawCorpus, task: Task, settings: CorpusSettings, splits: Mapping[str, pa.Table]) -> str | None:
    train = splits[TRAIN]
    rows = {split: table.num_rows for split, table in raw.tables.items()}
    phrases = [size_note(task, rows, raw.facts)]
    if settings.name == "sample":
        phrases.insert(0, _SAMPLE_NOTE)
    if raw.skipped:
        phrases.append(skipped_note(raw.skipped))
    if settings.limit is not None:
        there = sum(rows.get(split, 0) for split in (TRAIN, *task.extra_train))
        phrases.append(f"limited to {settings.limit:,} of {there:,} train rows")
    if settings.train_languages:
        phrases.append(f"trained and selected on rows of {', '.join(settings.train_languages)} only")
    if settings.fold is not None:
        phrases.append(f"fold {settings.fold.index + 1} of {settings.fold.of} of train and validation")
    if unlabeled := train["label"].null_count:
        phrases.append(f"{unlabeled:,} of {train.num_rows:,} train rows without a label: {UNLABELED}")
    if task.tags == "mend":
        phrases.append(_mended_note(raw, task, settings))
    if task.kind == "single_label":
        is_split = task.validation_split is None
        pool = [splits[split]["label"].to_pylist() for split in (TRAIN, *((VALIDATION,) if is_split else ()))]
        names = (None if label is None else task.labels[label] for labels in pool for label in labels)
        phrases.append(lone_note(names, is_split=is_split))
    phrases.append(overlap_note(splits, task))
    return "; ".join(phrase for phrase in phrases if phrase) or None


def _mended_note(raw: RawCorpus, task: Task, settings: CorpusSettings) -> str | None:
    column = {**task.columns, **settings.columns}.get("label", "label")
    counts = {split: mended(table[column], task.labels)[1] for split, table in raw.tables.items()}
    found = ", ".join(f"{count} in {split}" for split, count in counts.items() if count)
    return f"tags I- that continue no entity are read as B-: {found}" if found else None
