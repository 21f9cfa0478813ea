"""A summary of pruning: numbers and a few examples."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

import pyarrow as pa

from kdray.errors import ConfigError


def summary(
    decisions: pa.Table,
    table: pa.Table,
    *,
    id_column: str = "id",
    label_column: str = "label",
    num_examples: int = 3,
) -> dict[str, Any]:
    """Count what was kept, and show the first texts that changed. Plain values, ready for JSON.

    Args:
        decisions: About all rows of ``table``.
        table: The examples before pruning.
        id_column: The ids.
        label_column: The classes.
        num_examples: How many changed texts to show.

    Returns:
        ``num_units``, ``num_kept`` and ``prune_rate`` of the units; ``num_rows`` and ``num_changed`` of the rows;
        ``num_words`` and ``num_words_kept`` of the units' texts (separated by white space) with ``word_rate`` removed
        and ``speedup_bound`` 1 / (1 - word_rate), None if no word is left; ``reasons`` and their counts; ``classes``
        with rows before and after (a row is gone when all its units are) and units before and after, by label;
        ``examples`` with ``id``, ``field``, ``before``, ``after`` and ``dropped``.

    Raises:
        ConfigError: The table lacks a row that was decided about.
    """
    labels = _labels(table, id_column, label_column)
    kept = decisions.column("kept").to_pylist()
    words = [len(text.split()) for text in decisions.column("text").to_pylist()]
    num_words = sum(words)
    num_words_kept = sum(count for count, is_kept in zip(words, kept, strict=True) if is_kept)
    word_rate = _rate(num_words_kept, num_words)
    return {
        "num_units": len(kept),
        "num_kept": sum(kept),
        "prune_rate": _rate(sum(kept), len(kept)),
        "num_rows": table.num_rows,
        "num_changed": len({name for name, _, units in _fields(decisions) if not all(k for _, k in units)}),
        "num_words": num_words,
        "num_words_kept": num_words_kept,
        "word_rate": word_rate,
        "speedup_bound": None if math.isclose(word_rate, 1.0) else 1 / (1 - word_rate),
        "reasons": dict(sorted(Counter(decisions.column("reason").to_pylist()).items())),
        "classes": _classes(decisions, labels),
        "examples": [_example(changed) for changed in changed_texts(decisions, num_examples)],
    }


def _labels(table: pa.Table, id_column: str, label_column: str) -> dict[str, Any]:
    names = (str(name) for name in table.column(id_column).to_pylist())
    return dict(zip(names, table.column(label_column).to_pylist(), strict=True))


def _rate(kept: int, total: int) -> float:
    return 1 - kept / total if total else 0.0


def _fields(decisions: pa.Table) -> Iterator[tuple[str, str, list[tuple[str, bool]]]]:
    columns = (decisions.column(name).to_pylist() for name in ("id", "field", "text", "kept"))
    for (name, field), units in groupby(zip(*columns, strict=True), key=lambda unit: unit[:2]):
        yield name, field, [(text, kept) for _, _, text, kept in units]


def _classes(decisions: pa.Table, labels: dict[str, Any]) -> dict[str, dict[str, int]]:
    units: Counter[Any] = Counter()
    units_kept: Counter[Any] = Counter()
    alive: set[str] = set()
    seen: set[str] = set()
    for name, is_kept in zip(decisions.column("id").to_pylist(), decisions.column("kept").to_pylist(), strict=True):
        if name not in labels:
            raise ConfigError(
                f"Decisions are about row {name!r}, which the table lacks; pass the table before pruning."
            )
        seen.add(name)
        units[labels[name]] += 1
        units_kept[labels[name]] += is_kept
        if is_kept:
            alive.add(name)
    rows = Counter(labels[name] for name in seen)
    rows_kept = Counter(labels[name] for name in alive)
    return {
        str(label): {
            "num_rows": rows[label],
            "num_rows_kept": rows_kept[label],
            "num_units": units[label],
            "num_units_kept": units_kept[label],
        }
        for label in sorted(units)
    }


def changed_texts(decisions: pa.Table, number: int) -> list[dict[str, Any]]:
    """The first texts that lost something: ``id``, ``field``, and all ``units``: a text each, and if it was kept."""
    changed = (each for each in _fields(decisions) if not all(kept for _, kept in each[2]))
    return [{"id": name, "field": field, "units": units} for name, field, units in islice(changed, number)]


def _example(changed: dict[str, Any]) -> dict[str, Any]:
    units = changed["units"]
    return {
        "id": changed["id"],
        "field": changed["field"],
        "before": "".join(text for text, _ in units),
        "after": "".join(text for text, kept in units if kept),
        "dropped": [text for text, kept in units if not kept],
    }
