"""Rows that an export is compared on: the corpus's own validation rows, rows of a file, and edge cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdray.corpora import TRAIN, VALIDATION, Field, StoredCorpus, Task, load_corpus
from kdray.corpora.files import check_file, read_table
from kdray.corpora.source import Source
from kdray.corpora.validate import normalize
from kdray.errors import ConfigError
from kdray.export.trained import Reading, TrainedModel
from kdray.tasks import get_task

CALIBRATION_ROWS = 128


@dataclass(frozen=True)
class Evidence:
    """Rows with their labels.

    Attributes:
        source: Where they are from, for the card.
        columns: Texts by field, before any pruning.
        targets: Of the task, [rows, ...].
        calibration: Texts by field, that static quantization reads its ranges from.
        calibration_source: Where these are from.
    """

    source: str
    columns: list[list[str]]
    targets: np.ndarray
    calibration: list[list[str]]
    calibration_source: str


def evidence_for(model: TrainedModel, rows: Path | None = None) -> Evidence:
    """The validation rows of the model's corpus, or the rows of a file.

    Args:
        rows: A file (parquet, CSV, JSON Lines) with the model's fields and a column `label`.

    Raises:
        ConfigError: The file cannot be used, or there is none and the model's corpus is not known.
    """
    if rows is not None:
        return _of_file(rows, model.reading)
    if model.corpus is None:
        fields = ", ".join((*model.reading.fields, "label"))
        raise ConfigError(
            f"{model.folder} does not name its corpus, so its export cannot be compared on validation rows; give rows "
            f"(--rows FILE: parquet, CSV or JSON Lines with the columns {fields})."
        )
    return of_corpus(load_corpus(model.corpus), model.reading)


def of_corpus(corpus: StoredCorpus, reading: Reading) -> Evidence:
    """The validation rows of a stored corpus; the first training rows are for calibration.

    Raises:
        ConfigError: The corpus has other labels than the model.
    """
    if tuple(corpus.task.labels) != reading.labels:
        raise ConfigError(f"{corpus.task.name} has the labels {corpus.task.labels}, the model has {reading.labels}.")
    table, train = corpus.table(VALIDATION), corpus.table(TRAIN).slice(0, CALIBRATION_ROWS)
    return Evidence(
        f"validation rows of {corpus.task.name}",
        [table[name].to_pylist() for name in reading.fields],
        corpus.labels(VALIDATION),
        [train[name].to_pylist() for name in reading.fields],
        f"training rows of {corpus.task.name}",
    )


def _of_file(file: Path, reading: Reading) -> Evidence:
    check_file(file)
    task = Task(
        "rows",
        tuple(Field(name, "body") for name in reading.fields),
        reading.labels,
        reading.metrics,
        kind=reading.task,
    )
    raw = read_table(file, file.name)
    if missing := [name for name in (*reading.fields, "label") if name not in raw.column_names]:
        raise ConfigError(
            f"{file} has no column {missing[0]!r}; found: {', '.join(raw.column_names)}. Rename the column of the file."
        )
    table = normalize(raw, task=task, split="rows", source=Source(file.name, file), columns={}, is_labeled=True)
    columns = [table[name].to_pylist() for name in reading.fields]
    targets = get_task(reading.task).targets(table["label"], reading.labels)
    source = f"rows of {file.name}"
    return Evidence(source, columns, targets, [column[:CALIBRATION_ROWS] for column in columns], source)


def edge_cases(columns: Sequence[list[Any]]) -> list[tuple[Any, ...]]:
    """Rows that an export may read wrongly: empty and nearly empty texts, one word, the longest, unknown characters."""
    if any(isinstance(row, list) for row in columns[0]):
        return [(row,) for row in _edges_of_tokens(columns[0])]
    longest = [max(column, key=len, default="text") for column in columns]
    words = [(text.split() or ["text"])[0] for text in longest]
    beyond = [" ".join([text] * 8) for text in longest]  # more than any row has: it is truncated
    same = ["", " ", ".", "\u200b", "\U0001f642 \u4e2d\u6587 \u0416", "a\n\tb", *words[:1], *longest[:1], *beyond[:1]]
    if len(columns) == 1:
        return [(text,) for text in same]
    pairs = [(text, text) for text in same]
    return [*pairs, ("", words[1]), (words[0], ""), (beyond[0], words[1]), (words[0], beyond[1])]


def _edges_of_tokens(rows: Sequence[list[str]]) -> list[list[str]]:
    longest = max(rows, key=len)
    odd = ["\u200b", "\U0001f642", "\u4e2d\u6587", "\u0416", "a-b", "U.N."]
    return [[longest[0]], ["."], ["\u200b"], odd, longest, longest * 8]
