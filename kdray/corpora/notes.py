"""The note on a corpus that all its results show: a subset, or not the official split."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from kdray.corpora.tasks import TEST, TRAIN, Task
from kdray.errors import ConfigError, listed

UNLABELED = "students learn from them by the teachers' outputs alone; method finetune leaves them out"
MANY_ROWS = 20  # from here on a label of one row is surprising
SplitFacts = Mapping[str, Mapping[str, Any]]


def manifest_of(data_dir: Path, task: Task) -> SplitFacts:
    """A task's entries in the data's `manifest.json` (`rows`, `full_rows`, `note`); empty without a manifest.

    Raises:
        ConfigError: the file is not JSON of the form {task: {split: {...}}}.
    """
    path = data_dir / "manifest.json"
    if not path.is_file():
        return {}
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
        facts = {split: dict(each) for split, each in tasks.get(task.name, {}).items() if split != "missing"}
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"KDRAY_DATA/manifest.json cannot be used ({error}): it must be of the form {{task: {{split: {{...}}}}}}."
        ) from error
    return facts


def check_rows(rows: Mapping[str, int], facts: SplitFacts, shown: str) -> None:
    """Refuse files that are not the ones the manifest describes.

    Raises:
        ConfigError: a split and its entry have different numbers of rows.
    """
    for split, count in rows.items():
        stated = facts.get(split, {}).get("rows", count)
        if stated != count:
            raise ConfigError(
                f"{shown}/{split} has {count:,} rows, but manifest.json states {stated}: replace the file or "
                "correct the manifest."
            )


def size_note(task: Task, rows: Mapping[str, int], facts: SplitFacts) -> str | None:
    """One phrase for each split that is not the official one; None where all are (or no official size is known).

    Args:
        task: gives the official sizes, which the manifest overrides.
        rows: the file rows of each split that is used.
        facts: from `manifest_of`.
    """
    counted = {split: count for split, count in rows.items() if split not in task.extra_train}
    counted[TRAIN] += sum(rows.get(split, 0) for split in task.extra_train)
    phrases = [_size_phrase(split, count, _full_rows(task, split, facts)) for split, count in counted.items()]
    phrases += [f"{split}: {note}" for split in rows if (note := facts.get(split, {}).get("note"))]
    return "; ".join(phrase for phrase in phrases if phrase) or None


def _full_rows(task: Task, split: str, facts: SplitFacts) -> int | None:
    if split in facts and "full_rows" in facts[split]:
        return facts[split]["full_rows"]
    return task.full_rows.get(split)


def _size_phrase(split: str, count: int, full: int | None) -> str | None:
    if full is None or count == full:
        return None
    if count < full:
        return f"subset, {count:,} of {full:,} {split} rows"
    return f"{count:,} {split} rows where the official set has {full:,}"


def lone_note(labels: Iterable[str | None], *, is_split: bool) -> str | None:
    """One phrase for the labels of a single row, where there are rows enough for this to be surprising.

    Args:
        labels: of the rows, None where there is none.
        is_split: validation is split off these rows.

    >>> lone_note(["good", "bad"] * 15 + ["goood"], is_split=True)
    "label 'goood' has only 1 of 31 rows, so it cannot be in both train and validation"
    """
    counts = Counter(labels)
    rows = counts.total()
    found = sorted(each for each, number in counts.items() if number == 1 and each is not None)
    if not found or rows < MANY_ROWS:
        return None
    shown = listed(map(repr, found[:3]), len(found))
    subject = f"label {shown} has" if len(found) == 1 else f"labels {shown} each have"
    one = "it" if len(found) == 1 else "each"
    follows = f", so {one} cannot be in both train and validation" if is_split else ""
    return f"{subject} only 1 of {rows:,} rows{follows}"


def alike_note(labels: Iterable[str | None]) -> str | None:
    """One phrase for labels that differ only in case or in spaces around them.

    >>> alike_note(["joy", "Joy", "joy ", "fear"])
    "labels 'Joy', 'joy', 'joy ' differ only in case or spaces"
    """
    alike: dict[str, set[str]] = {}
    for label in labels:
        if label is not None:
            alike.setdefault(" ".join(label.casefold().split()), set()).add(label)
    found = [each for _, group in sorted(alike.items()) if len(group) > 1 for each in sorted(group)]
    return f"labels {listed(map(repr, found[:6]), len(found))} differ only in case or spaces" if found else None


def overlap_note(splits: Mapping[str, pa.Table], task: Task) -> str | None:
    """One phrase for each reported split with rows whose texts are those of a row of train; None where there are none.

    Args:
        splits: of the corpus, by kdray's names.
        task: names the fields.
    """
    reported = {split: splits[split] for split in (TRAIN, TEST, *task.extra_test) if split in splits}
    found = rows_of_train(reported, task.field_names)
    names = {split: "test" if split == TEST else split for split in found}
    phrases = [
        f"{count:,} of {splits[split].num_rows:,} {names[split]} rows are word for word in train"
        for split, count in found.items()
    ]
    return "; ".join(phrases) or None


def rows_of_train(splits: Mapping[str, pa.Table], columns: Sequence[str]) -> dict[str, int]:
    """How many rows of each other split have the texts of a row of train; without the splits that have none.

    >>> train, test = pa.table({"text": ["a", "b"]}), pa.table({"text": ["b", "c"]})
    >>> rows_of_train({TRAIN: train, TEST: test, "validation": test[1:]}, ["text"])
    {'test': 1}
    """
    seen = set(texts_of(splits[TRAIN], columns))
    others = {split: table for split, table in splits.items() if split != TRAIN}
    counts = {split: sum(row in seen for row in texts_of(table, columns)) for split, table in others.items()}
    return {split: count for split, count in counts.items() if count}


def texts_of(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The texts of each row; lists of words as tuples, so that rows can be looked up."""
    values = [table[name].to_pylist() for name in columns]
    return zip(*([tuple(e) if isinstance(e, list) else e for e in column] for column in values), strict=True)
