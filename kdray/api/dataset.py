"""Rows with labels, from wherever they are: a DataFrame, files, the Hugging Face hub, or a named corpus."""

import logging
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kdray.config import checked
from kdray.corpora import CorpusSettings, kdray_data, read_corpus
from kdray.corpora import Task as CorpusTask
from kdray.corpora.empty import empty_rows, skipped_note, without_empty
from kdray.corpora.files import check_file, find_file, read_table
from kdray.corpora.hub import from_hub
from kdray.corpora.notes import MANY_ROWS, UNLABELED, alike_note, lone_note, rows_of_train, texts_of
from kdray.corpora.source import Source
from kdray.corpora.splits import carve
from kdray.corpora.tasks import HubSource
from kdray.corpora.validate import read_labels, read_tagged
from kdray.errors import ConfigError, listed, plural
from kdray.tasks import Task, get_task, tags_of, types_of

log = logging.getLogger(__name__)

TEST_FRACTION = 0.1  # of the rows, held out where no test split is given
_TEST_SEED = 1


@dataclass(frozen=True)
class Dataset:
    """A corpus to train and test on. Make one with `load`, `from_pandas`, `from_datasets`, `from_hub` or `from_files`.

    Attributes:
        name: As tables and the store show it.
        tables: Columns id, texts and label by split; empty for a named corpus.
        options: Further settings of `corpus`.
        notes: What was inferred or held out, one sentence each.
    """

    name: str
    tables: Mapping[str, pa.Table] = field(default_factory=dict[str, pa.Table], repr=False)
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()

    @staticmethod
    def load(name: str, **options: Any) -> "Dataset":
        """A named corpus (`rte`, `sample`, ...) or your own (`file.py:function`).

        Args:
            options: Settings of `corpus`, such as `limit=500`.

        >>> Dataset.load("sample")
        Dataset(name='sample', options={'name': 'sample'}, notes=())
        """
        settings = checked(CorpusSettings, {"name": name, **options})
        return Dataset(name, options=settings.model_dump(exclude_defaults=True))

    @staticmethod
    def from_pandas(
        train: Any,
        *,
        test: Any = None,
        validation: Any = None,
        text: str | Sequence[str] = "text",
        label: str = "label",
        labels: Sequence[Any] | None = None,
        name: str = "data",
        **options: Any,
    ) -> "Dataset":
        """Rows of pandas DataFrames.

        Args:
            test: Rows that are scored and never trained on; None holds out 10 % of `train`, with a line in the log.
            validation: Rows that epochs and settings are selected on; None holds some of `train` out at training.
            text: The column of texts, or two columns for pairs.
            label: The column of labels; missing labels are unlabeled rows.
            labels: The classes in their order; None takes those of `train`, sorted, with a line in the log.
            options: Further settings of `corpus`, such as `metrics=("macro_f1",)`, or `skip_empty=True` to leave out
                rows without a text.

        Raises:
            ConfigError: A column or a class is missing.

        >>> import pandas as pd
        >>> rows = pd.DataFrame({"text": ["good", "bad"] * 10, "label": [1, 0] * 10})
        >>> data = Dataset.from_pandas(rows)
        >>> len(data.tables["train"]), len(data.tables["test"]), data.options["labels"]
        (18, 2, ('0', '1'))
        """
        frames = {"train": train, "validation": validation, "test": test}
        if wrong := [split for split, each in frames.items() if each is not None and not hasattr(each, "columns")]:
            raise ConfigError(f"{name}: {wrong[0]} is no DataFrame; for files there is Dataset.from_files.")
        given = {split: pa.Table.from_pandas(f, preserve_index=False) for split, f in frames.items() if f is not None}
        return _dataset(given, text=text, label=label, labels=labels, name=name, options=options)

    @staticmethod
    def from_datasets(splits: Any, *, name: str = "data", **columns: Any) -> "Dataset":
        """A `datasets.DatasetDict`, or a mapping from split to `datasets.Dataset`; `columns` as in `from_pandas`."""
        tables = {split: each.with_format("arrow")[:] for split, each in dict(splits).items()}
        if "train" not in tables:
            raise ConfigError(f"{name} has no split train; found: {', '.join(tables)}.")
        feature: Any = getattr(splits["train"], "features", {}).get(columns.get("label", "label"))
        each: Any = getattr(feature, "feature", feature)  # of lists, that of their values
        names: list[str] = list(getattr(each, "names", None) or [])
        if columns.get("labels") is None and names:  # class numbers of the hub become class names
            column = columns.get("label", "label")
            tables = {split: _named(table, column, names) for split, table in tables.items()}
            columns["labels"] = names
        return _dataset(tables, name=name, **_column_arguments(columns))

    @staticmethod
    def from_hub(repo: str, config: str | None = None, **columns: Any) -> "Dataset":
        """A data set of the Hugging Face hub by its id; `columns` as in `from_pandas`.

        Raises:
            ConfigError: The hub has no such data set, or cannot be reached and the cache lacks it.
        """
        loaded = from_hub(HubSource(repo, config))
        return Dataset.from_datasets(loaded, name=repo.replace("/", "--"), **columns)

    @staticmethod
    def from_files(train: str | Path, *, test: str | Path | None = None, **columns: Any) -> "Dataset":
        """Parquet, CSV or JSON Lines files; `columns` as in `from_pandas`. Every column of a CSV is text."""
        files = {"train": Path(train).expanduser(), **({"test": Path(test).expanduser()} if test else {})}
        for path in files.values():
            if path.is_dir():
                raise ConfigError(f"{path} is a folder; give its files: {_call_for(path)}.")
            check_file(path)
        tables = {split: read_table(path, path.name) for split, path in files.items()}
        sources = {split: Source(path.name, path) for split, path in files.items()}
        name = columns.pop("name", files["train"].stem)
        return _dataset(tables, name=name, sources=sources, **_column_arguments(columns))

    @property
    def settings(self) -> CorpusSettings:
        """The section `corpus` of a run on these rows; their files exist while this object does."""
        place = {"name": "folder", "path": str(self._folder)} if self.tables else {}
        return checked(CorpusSettings, {**place, **self.options}, source=self.name)

    def to_pandas(self, split: str = "train") -> Any:
        """The rows of a split as a DataFrame: id, texts and label (classes by name). A named corpus is read for it.

        Raises:
            ConfigError: There is no such split, or the corpus cannot be read.

        >>> len(Dataset.load("sample").to_pandas("test"))
        300
        """
        tables = self.tables or _named_tables(self.settings)
        if split not in tables:
            raise ConfigError(f"{self.name} has no split {split!r}; it has {', '.join(tables)}.")
        return tables[split].to_pandas()

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{split}</td><td>{len(table):,}</td></tr>" for split, table in self.tables.items())
        notes = "".join(f"<li>{note}</li>" for note in self.notes)
        return f"<b>Dataset {self.name}</b><table><tr><th>split</th><th>rows</th></tr>{rows}</table><ul>{notes}</ul>"

    @cached_property
    def _folder(self) -> Path:
        temporary = tempfile.mkdtemp(prefix="kdray-data-")
        weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
        folder = Path(temporary) / self.name
        folder.mkdir()
        for split, table in self.tables.items():
            pq.write_table(table, folder / f"{split}.parquet")
        return folder


def _call_for(folder: Path) -> str:
    """How to read the files of a folder."""
    train, test = find_file(folder, "train"), find_file(folder, "test") or find_file(folder, "validation")
    return f'kd.Dataset.from_files("{train or folder / "train.csv"}"' + (f', test="{test}")' if test else ")")


def _named_tables(settings: CorpusSettings) -> dict[str, pa.Table]:
    found = read_corpus(settings, data_dir=kdray_data())
    names = pa.array(found.task.labels, pa.string())
    return {
        split: table.set_column(table.schema.get_field_index("label"), "label", pc.take(names, table["label"]))
        if pa.types.is_integer(table["label"].type)
        else table
        for split, table in found.splits.items()
    }


def _column_arguments(columns: Mapping[str, Any]) -> dict[str, Any]:
    named = {"text": "text", "label": "label", "labels": None} | dict(columns)
    options = {key: value for key, value in named.items() if key not in ("text", "label", "labels")}
    return {key: named[key] for key in ("text", "label", "labels")} | {"options": options}


def _dataset(
    tables: Mapping[str, pa.Table],
    *,
    text: str | Sequence[str],
    label: str,
    labels: Sequence[Any] | None,
    name: str,
    options: Mapping[str, Any],
    sources: Mapping[str, Source] | None = None,
) -> Dataset:
    if isinstance(labels, str):
        raise ConfigError(f"labels = {labels!r}: give the classes as a list; their column is label={labels!r}.")
    sources = sources or {split: Source(f"{name}, {split}") for split in tables}
    texts = (text,) if isinstance(text, str) else tuple(text)
    notes: list[str] = []
    task = options.get("task", "single_label")
    kind = get_task(task)
    plain = {split: _plain(table, texts, label, split, sources[split], kind) for split, table in tables.items()}
    if options.get("skip_empty"):
        found = without_empty(plain, texts, sources)
        plain, sources = found.tables, found.sources
        notes += [skipped_note(found.skipped)] if found.skipped else []
    else:
        _refuse_empty(plain, texts, sources)
    of_train = plain["train"]["label"].to_pylist()
    if kind.target == "class":
        notes += _doubts(of_train, sources["train"], is_split="validation" not in plain)
    notes += _repeats(plain["train"], texts, sources["train"], kind)
    if kind.outputs:
        classes: tuple[str, ...] = ()
    elif labels is None:
        classes = _classes(plain["train"]["label"])
        what = "labels"
        if kind.target == "tags":
            classes, what = tuple(sorted(types_of(classes))), "entity types"
        if kind.target == "class":
            _check_classes(classes, of_train, label, sources["train"])
        notes.append(f"labels: {listed(classes[:MANY_ROWS], len(classes))} (the sorted {what} of train)")
    else:
        classes = tuple(str(each) for each in labels)
    outputs = tags_of(classes) if kind.target == "tags" else classes or kind.outputs
    rows = CorpusTask(name, (), outputs, kind.metrics, kind=task, tags=options.get("tags", "strict"))
    numbers = {  # here, where a row has the number that it has in its file
        split: _numbers(table, texts, label, rows, sources[split]) for split, table in plain.items()
    }
    if "test" not in plain and "validation" not in plain:
        kept, held_out = _with_test(plain["train"], numbers["train"], texts, rows.labels)
        plain = {"train": kept, "test": held_out}
        notes.append(f"no test rows were given: {len(held_out):,} of {len(kept) + len(held_out):,} rows were held out")
    notes += _overlaps(plain, texts)
    for note in notes:
        log.warning("%s: %s", name, note)
    fields = tuple({"name": each, "role": "body" if len(texts) == 1 else "pair"} for each in texts)
    every = {**({"labels": classes} if classes else {}), "fields": fields, **options}
    checked(CorpusSettings, {"name": "folder", "path": name, **every}, source=name)  # wrong ones are refused now
    every.pop("skip_empty", None)  # done
    return Dataset(name, plain, every, tuple(notes))


def _numbers(plain: pa.Table, texts: Sequence[str], label: str, task: CorpusTask, source: Source) -> pa.ChunkedArray:
    """The labels as the task has them; errors name the column of the file."""
    labels = pa.table({label: plain["label"]})
    if get_task(task.kind).target != "tags":
        return read_labels(labels, label, task, source)
    return read_tagged(labels.append_column(texts[0], plain[texts[0]]), texts[0], label, task, source)[1]


def _with_test(
    train: pa.Table, numbers: pa.ChunkedArray, texts: Sequence[str], classes: Sequence[str]
) -> tuple[pa.Table, pa.Table]:
    """The rows that stay in train, and those held out for test: of each class its share, rows of one text together.

    Where a text has more rows than half of that part, rows are held out one by one.
    """
    keys = list(map(repr, texts_of(train, texts)))
    by_class = train.select(["id"]).append_column("label", numbers).append_column("texts", pa.array(keys))
    most = max(Counter(keys).values())  # a text of more rows than half of the part would not fit into it
    group_by = "texts" if 1 < most <= TEST_FRACTION * len(keys) / 2 else None
    _, taken = carve(by_class, fraction=TEST_FRACTION, seed=_TEST_SEED, group_by=group_by, names=classes)
    is_taken = pc.is_in(train["id"], value_set=taken["id"].combine_chunks())
    return train.filter(pc.invert(is_taken)), train.filter(is_taken)


def _plain(table: pa.Table, texts: Sequence[str], label: str, split: str, source: Source, kind: Task) -> pa.Table:
    """Columns id, the texts and label, with class labels as text."""
    for column in (*texts, label):
        if column not in table.column_names:
            raise ConfigError(
                f"{source.name} has no column {column!r}; found: {', '.join(table.column_names)}. Name the columns "
                "with text= and label=."
            )
    if label in texts:
        raise ConfigError(f"{source.name}: column {label!r} is given as text and as label; name two columns.")
    values = table[label].to_pylist()
    if kind.target == "class":
        values = [None if each is None or each != each else _shown(each) for each in values]  # nan is not itself
        values = [each if each and each.strip() else None for each in values]  # an empty cell of a CSV
    ids = [f"{split}-{row}" for row in range(len(table))]
    return pa.table({"id": ids, **{each: table[each] for each in texts}, "label": values})


def _check_classes(classes: Sequence[str], labels: Sequence[str | None], column: str, source: Source) -> None:
    """Two classes are needed; texts in the place of labels make nearly a class of each row."""
    if len(classes) < 2:
        only = ", ".join(classes)
        raise ConfigError(f"{source}: column {column!r} has one class only, {only!r}; give two or more.")
    rows = sum(label is not None for label in labels)
    if rows >= MANY_ROWS and 2 * len(classes) > rows:
        raise ConfigError(
            f"{source}: column {column!r} has {len(classes):,} different labels in {rows:,} labeled rows; "
            "name the column of classes with label= (are text= and label= swapped?), give the classes with labels=, or "
            "task='regression' if the labels are numbers."
        )


def _refuse_empty(tables: Mapping[str, pa.Table], texts: Sequence[str], sources: Mapping[str, Source]) -> None:
    for split, column in product(tables, texts):
        if empty := empty_rows(tables[split], [column]):
            source, fix = sources[split], "remove the row" if len(empty) == 1 else "remove these rows"
            raise ConfigError(
                f"{source}, {source.at(*empty)}: column {column!r} is empty; {fix}, or give skip_empty=True."
            )


def _doubts(labels: Sequence[str | None], source: Source, *, is_split: bool) -> list[str]:
    """What a reader should know of the labels of train: rows without one, and classes that may be typing errors."""
    notes = _unlabeled([row for row, label in enumerate(labels) if label is None], source)
    if alike := alike_note(labels):
        notes.append(f"{alike}; is this a typing error?")
    if lone := lone_note(labels, is_split=is_split):
        notes.append(f"{lone}; is this a typing error?")
    return notes


def _repeats(train: pa.Table, texts: Sequence[str], source: Source, kind: Task) -> list[str]:
    """Notes on rows of train that have the texts of an earlier row, and on texts with more than one label."""
    labels_of: dict[tuple[Any, ...], set[str]] = {}
    again: list[int] = []
    for row, (key, label) in enumerate(zip(texts_of(train, texts), train["label"].to_pylist(), strict=True)):
        if key in labels_of:
            again.append(row)
        labels_of.setdefault(key, set()).update([] if label is None else [repr(label)])
    notes: list[str] = []
    if again:
        what = f"{plural(len(again), 'row')} of train {'has' if len(again) == 1 else 'have'} the text of an earlier row"
        notes.append(f"{what}: {source.at(*again)}")
    if kind.target == "class" and (torn := sum(len(found) > 1 for found in labels_of.values())):
        notes.append(f"{plural(torn, 'text')} of train {'has' if torn == 1 else 'have'} rows with different labels")
    return notes


def _overlaps(tables: Mapping[str, pa.Table], texts: Sequence[str]) -> list[str]:
    """A note where validation or test rows have the texts of a row of train.

    >>> _overlaps({"train": pa.table({"text": ["a", "b"]}), "test": pa.table({"text": ["b", "c"]})}, ["text"])
    ['1 of 2 test rows has the text of a row of train: scores on test may be too high']
    """
    return [
        f"{count:,} of {plural(len(tables[split]), f'{split} row')} {'has' if count == 1 else 'have'} the text of a "
        f"row of train: scores on {split} may be too high"
        for split, count in rows_of_train(tables, texts).items()
    ]


def _unlabeled(rows: Sequence[int], source: Source) -> list[str]:
    """
    >>> _unlabeled([5], Source("data"))[0].partition(";")[0]
    'train has 1 row without a label: position 5 (the first is 0)'
    """
    if not rows:
        return []
    what = f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'} without a label: {source.at(*rows)}"
    return [f"train has {what}; {UNLABELED}"]


def _shown(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))  # pandas turns class numbers into floats where one is missing
    return str(value)


def _classes(column: pa.ChunkedArray) -> tuple[str, ...]:
    found = {each for value in column.to_pylist() if value is not None for each in _each(value)}
    if all(each.lstrip("-").isdecimal() for each in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def _each(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _named(table: pa.Table, column: str, names: Sequence[str]) -> pa.Table:
    values: list[Any] = table[column].to_pylist()
    at = table.column_names.index(column)
    if pa.types.is_list(table[column].type):
        rows = [None if row is None or min(row, default=0) < 0 else [names[n] for n in row] for row in values]
        return table.set_column(at, column, pa.array(rows, pa.list_(pa.string())))
    found = [None if each is None or each < 0 else names[each] for each in values]
    return table.set_column(at, column, pa.array(found, pa.string()))
