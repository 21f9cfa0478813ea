"""A corpus in the store: one parquet file a split, and `corpus.json` with the task and where the rows came from."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kdray.corpora.reading import Corpus
from kdray.corpora.tasks import LANGUAGE, TRAIN, Field
from kdray.tasks import get_task

INFO = "corpus.json"


@dataclass(frozen=True)
class StoredTask:
    """What the rows of a stored corpus look like."""

    name: str
    fields: tuple[Field, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    kind: str = "single_label"

    @property
    def outside(self) -> tuple[str, ...]:
        """The metrics and the task that are from outside of kdray, by full name."""
        return tuple(name for name in (*self.metrics, self.kind) if ":" in name)


@dataclass(frozen=True)
class StoredCorpus:
    """A corpus as a later stage reads it; a split is loaded on first use.

    Attributes:
        info: Name, note, origin, is_sample, fingerprint, rows by split.
        transform: Applied to every split that is read.
    """

    folder: Path
    task: StoredTask
    info: Mapping[str, Any]
    transform: Callable[[pa.Table], pa.Table] = field(default=lambda table: table)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.info["rows"])

    @property
    def scored(self) -> tuple[str, ...]:
        """The splits that models are scored on: all but train."""
        return tuple(split for split in self.splits if split != TRAIN)

    def table(self, split: str) -> pa.Table:
        """Columns id, the task's fields, language where it counts, label (null: unlabeled)."""
        return self.transform(pq.read_table(self.folder / f"{split}.parquet"))

    def languages(self, split: str) -> list[str] | None:
        """The language of each row; None where it does not count."""
        table = self.table(split)
        return table[LANGUAGE].to_pylist() if LANGUAGE in table.column_names else None

    def labels(self, split: str) -> np.ndarray:
        """Targets of the corpus's task, unlabeled rows included: class indices, int64, with -1, for a single label."""
        return get_task(self.task.kind).targets(self.table(split)["label"], self.task.labels)

    def map(self, transform: Callable[[pa.Table], pa.Table]) -> "StoredCorpus":
        """The same corpus with every split changed on reading."""
        return dataclasses.replace(self, transform=transform)


def save_corpus(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Write all splits and the description; returns the description."""
    info = {
        "name": corpus.task.name,
        "note": corpus.note,
        "origin": corpus.origin,
        "is_sample": corpus.is_sample,
        "fingerprint": corpus.fingerprint,
        "rows": {split: table.num_rows for split, table in corpus.splits.items()},
    }
    task = {
        "name": corpus.task.name,
        "fields": [dataclasses.asdict(each) for each in corpus.task.fields],
        "labels": list(corpus.task.labels),
        "metrics": list(corpus.task.metrics),
        "kind": corpus.task.kind,
    }
    save_splits(corpus.splits, {"task": task, "info": info}, folder)
    return info


def save_splits(splits: Mapping[str, pa.Table], description: Mapping[str, Any], folder: Path) -> None:
    """Write splits and their description in the form that `load_corpus` reads."""
    for split, table in splits.items():
        pq.write_table(table, folder / f"{split}.parquet", compression="zstd")
    (folder / INFO).write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n")


def load_description(folder: Path) -> dict[str, Any]:
    return json.loads((folder / INFO).read_text())


def load_corpus(folder: Path) -> StoredCorpus:
    """Open what `save_corpus` or `save_splits` wrote."""
    described = load_description(folder)
    task = described["task"]
    fields = tuple(Field(**each) for each in task["fields"])
    return StoredCorpus(
        folder,
        StoredTask(task["name"], fields, tuple(task["labels"]), tuple(task["metrics"]), task["kind"]),
        described["info"],
    )
