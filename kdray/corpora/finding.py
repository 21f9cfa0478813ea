"""Where a corpus lies: KDRAY_DATA, the Hugging Face cache, the hub, the sample inside the package, a user's folder."""

import dataclasses
import os
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import pyarrow as pa

from kdray.corpora import hub
from kdray.corpora.empty import without_empty
from kdray.corpora.files import READERS, find_file, read_table
from kdray.corpora.notes import SplitFacts, check_rows, manifest_of
from kdray.corpora.own import checked, own_corpus
from kdray.corpora.settings import CorpusSettings
from kdray.corpora.source import Source
from kdray.corpora.tasks import TASKS, TRAIN, Field, Task
from kdray.errors import ConfigError, near_path, one_of
from kdray.tasks import get_task, tags_of

_SUFFIXES = one_of(tuple(READERS))


@dataclass(frozen=True)
class RawCorpus:
    """The file splits of a corpus as they were found, not yet checked.

    Attributes:
        tables: by file split, in the order in which the task names them.
        origin: what was found, without a path of this machine.
        sources: how errors name each split and its rows.
        facts: entries of the manifest in the data's folder.
        skipped: rows without a text that were left out, by file split.
    """

    tables: Mapping[str, pa.Table]
    origin: str
    sources: Mapping[str, Source]
    facts: SplitFacts = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])


def kdray_data() -> Path | None:
    """The folder that the environment variable KDRAY_DATA names; None where it is not set.

    Raises:
        ConfigError: it is set, but not to a folder.
    """
    value = os.environ.get("KDRAY_DATA")
    if not value:
        return None
    if not Path(value).is_dir():
        raise ConfigError(
            f"KDRAY_DATA = {value} is not a folder: set it to one that holds <task>/<split>.parquet, or unset it."
        )
    return Path(value)


def resolve_auto(task_name: str, *, data_dir: Path | None) -> tuple[str, str]:
    """Resolve `auto`, with the reason: the real corpus if it is available, otherwise the sample.

    Args:
        task_name: the preferred named task.
        data_dir: see `kdray_data`.

    Returns:
        (`task_name` or "sample", a phrase for the first line of output and the report).

    Raises:
        ConfigError: `task_name` is not a named task.
    """
    task = TASKS.get(task_name)
    if task is None or task.hub is None:
        named = ", ".join(name for name, each in TASKS.items() if each.hub)
        raise ConfigError(f"auto cannot resolve to {task_name}, allowed are {named}.")
    if data_dir is not None and (data_dir / task_name).is_dir():
        return task_name, f"{task_name} is in KDRAY_DATA"
    if hub.load_cached(task.hub) is not None:
        return task_name, f"{task_name} is in the Hugging Face cache"
    if hub.is_reachable(task.hub):
        return task_name, f"{task_name} is on the Hugging Face hub"
    return "sample", f"{task_name} was not found: {_looked_in(task_name, data_dir)}"


def from_name(name: str, data_dir: Path | None) -> tuple[Task, RawCorpus]:
    """A named task or the sample, from the first place that has it.

    Raises:
        ConfigError: it was not found, lacks a split or cannot be read.
    """
    task = TASKS[name]
    if name == "sample":
        from kdray.corpora.sample import sample_folder

        return task, _from_folder(sample_folder(), task, origin="kdray.corpora.sample")
    if data_dir is not None and (data_dir / name).is_dir():
        origin = f"KDRAY_DATA/{name}"
        raw = _from_folder(data_dir / name, task, origin=origin)
        facts = manifest_of(data_dir, task)
        check_rows({split: table.num_rows for split, table in raw.tables.items()}, facts, origin)
        return task, dataclasses.replace(raw, facts=facts)
    if task.hub is None:
        local = "KDRAY_DATA is not set" if data_dir is None else f"KDRAY_DATA has no folder {name}"
        raise ConfigError(
            f"The corpus {name} was not found: {local}, and the hub has no copy of it; set KDRAY_DATA to a folder that "
            f"holds {name}/train.parquet and its other splits."
        )
    where = f"{task.hub.repo} ({task.hub.config})" if task.hub.config else task.hub.repo
    if (cached := hub.load_cached(task.hub)) is not None:
        return task, _from_hub(cached, task, origin=f"Hugging Face cache, {where}")
    if not hub.is_reachable(task.hub):
        raise ConfigError(f"The corpus {name} was not found: {_looked_in(name, data_dir)}.")
    return task, _from_hub(hub.download(task.hub), task, origin=f"Hugging Face hub, {where}")


def from_user(settings: CorpusSettings) -> tuple[Task, RawCorpus]:
    """A user's folder. The test split is `test`, else `validation`; with both, `validation` is used for selection.

    Raises:
        ConfigError: the folder or a split is not there or cannot be read, or it is not clear which column is the text.
    """
    assert settings.path is not None
    folder = Path(settings.path).expanduser()
    if folder.is_file():
        raise ConfigError(
            f"corpus.path = {settings.path} is a file: divide its rows into train{folder.suffix} and "
            f"test{folder.suffix} in a folder and give that, or use {_one_file(folder)} in Python."
        )
    if not folder.is_dir():
        raise ConfigError(
            f"corpus.path = {settings.path} is not a folder; "
            + near_path(folder, otherwise="give one that holds train and test (or validation) files.")
        )
    has_test = find_file(folder, "test") is not None
    has_validation = find_file(folder, "validation") is not None
    if not has_test and not has_validation:
        raise ConfigError(
            f"folder {folder.resolve().name} has no test split and no validation split: a file of one of the two that "
            f"ends in {_SUFFIXES} is needed; in Python, {_one_file(find_file(folder, 'train'))} needs only one file."
        )
    # a user's folder may be called rte: its name must not make it look like the named corpus
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", folder.resolve().name)
    task = _task_of(settings, f"folder-{name}", has_test=has_test, has_validation=has_validation)
    raw = _from_folder(folder, task, origin=f"folder {folder.resolve().name}")
    if not task.fields:
        more = {settings.language_field} if settings.language_field else set[str]()
        is_tokens = get_task(task.kind).target == "tags"
        task = dataclasses.replace(task, fields=_only_text(raw, settings.columns, more, is_tokens=is_tokens))
    if settings.skip_empty:
        columns = [settings.columns.get(each, each) for each in task.field_names]
        found = without_empty(raw.tables, columns, raw.sources)
        raw = dataclasses.replace(raw, tables=found.tables, sources=found.sources, skipped=found.skipped)
    return task, raw


def _one_file(file: Path | None) -> str:
    """The call that holds out test rows of one file."""
    return f'kd.Dataset.from_files("{file.name if file else "train.csv"}", text=..., label=...)'


def from_function(settings: CorpusSettings) -> tuple[Task, RawCorpus]:
    """A corpus from outside of kdray (see `kdray.corpora.corpus`).

    Raises:
        ConfigError: it cannot be found, its settings do not fit together, or a split is missing.
    """
    own, shown = own_corpus(settings.name), PurePath(settings.name).name
    given = checked(own.settings.model_dump() | ({"metrics": settings.metrics} if settings.metrics else {}))
    tables = own.tables(shown)
    task = _task_of(given, f"own-{settings.label}", has_test="test" in tables, has_validation="validation" in tables)
    used = {split: tables[split] for split in task.needed_splits}
    return task, RawCorpus(used, shown, {split: Source(f"{shown}, {split}") for split in used})


def _task_of(settings: CorpusSettings, name: str, *, has_test: bool, has_validation: bool) -> Task:
    kind = get_task(settings.task)
    return Task(
        name,
        settings.fields,
        tags_of(settings.labels) if kind.target == "tags" else settings.labels or kind.outputs,
        metrics=settings.metrics or kind.metrics,
        kind=settings.task,
        tags=settings.tags,
        test_split="test" if has_test else "validation",
        validation_split="validation" if has_test and has_validation else None,
    )


def _looked_in(name: str, data_dir: Path | None) -> str:
    local = f"KDRAY_DATA has no folder {name}" if data_dir is not None else "KDRAY_DATA is not set"
    return (
        f"{local}, it is not in the Hugging Face cache, and the hub is unreachable; set KDRAY_DATA to a folder that "
        f"holds {name}/train.parquet and its other splits, or go online"
    )


def _from_folder(folder: Path, task: Task, *, origin: str) -> RawCorpus:
    found: dict[str, Path] = {}
    for split in dict.fromkeys((*task.needed_splits, *task.optional_splits)):
        path = find_file(folder, split)
        if path is not None:
            found[split] = path
        elif split in task.needed_splits:
            raise ConfigError(f"{origin} has no {split} split: a file {split} that ends in {_SUFFIXES} is needed.")
    sources = {split: Source(f"{origin}/{path.name}", path) for split, path in found.items()}
    return RawCorpus({split: read_table(path, sources[split].name) for split, path in found.items()}, origin, sources)


def _from_hub(tables: Mapping[str, pa.Table], task: Task, *, origin: str) -> RawCorpus:
    missing = [split for split in task.needed_splits if split not in tables]
    if missing:
        raise ConfigError(f"{origin} has no {missing[0]} split; found: {', '.join(tables)}.")
    used = {split: tables[split] for split in (*task.needed_splits, *task.optional_splits) if split in tables}
    return RawCorpus(used, origin, {split: Source(f"{origin}, {split}") for split in used})


def _only_text(raw: RawCorpus, columns: Mapping[str, str], no_texts: Set[str], *, is_tokens: bool) -> tuple[Field, ...]:
    names = [name for name in columns if name not in ("label", "id")]
    if not names:
        taken = {columns.get("label", "label"), columns.get("id", "id"), *no_texts}
        schema = raw.tables[TRAIN].schema
        wanted = "string>" if is_tokens else "string"
        names = [each.name for each in schema if each.name not in taken and str(each.type).endswith(wanted)]
    if len(names) != 1:
        found = ", ".join(names) or "none"
        what = "columns of tokens" if is_tokens else "text columns"
        raise ConfigError(
            f"{raw.sources[TRAIN]} has {len(names)} {what} ({found}), so it is unclear which is the text: "
            "set fields, for example fields: [{name: text, role: body}]."
        )
    return (Field(names[0], "body"),)
