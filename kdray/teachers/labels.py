"""Label order: a fine-tuned teacher may have its classes in another order than the task."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from kdray.errors import ConfigError
from kdray.models import load_config

log = logging.getLogger(__name__)

UNNAMED = re.compile(r"LABEL_\d+")


def label_names(folder: Path) -> list[str]:
    """The classes of a saved classifier in the order of its logits."""
    config = load_config(folder)
    return [config.id2label[i] for i in range(int(config.num_labels))]


def task_columns(teacher: Sequence[str], task: Sequence[str], *, name: str) -> list[int]:
    """For each class of the task, the teacher's column.

    A teacher whose labels are unnamed (`LABEL_0` …) is assumed to have the task's order, with a warning. Names may
    differ in upper and lower case, where that leaves no doubt.

    Raises:
        ConfigError: The teacher lacks a class, or has others.
    """
    given = list(teacher), list(task)
    if len(teacher) == len(task) and all(UNNAMED.fullmatch(label) for label in teacher):
        shown = ", ".join(task)
        log.warning("teacher %r does not name its classes; they are taken to be %s, in this order", name, shown)
        return list(range(len(task)))
    if set(teacher) != set(task):
        teacher, task = [label.lower() for label in teacher], [label.lower() for label in task]
    if set(teacher) != set(task) or len(set(teacher)) < len(teacher) or len(teacher) != len(task):
        raise ConfigError(f"teacher {name!r} has the classes {given[0]}, the task has {given[1]}.")
    return [teacher.index(label) for label in task]


def only_classes(table: pa.Table, labels: Sequence[str], keep: Sequence[str]) -> pa.Table:
    """The labeled rows of the classes in `keep`, their labels counted in that order."""
    numbers = pa.array([keep.index(label) if label in keep else None for label in labels], type=pa.int64())
    counted = _renumbered(table, numbers)
    return counted.filter(counted["label"].is_valid())


def map_classes(
    table: pa.Table, labels: Sequence[str], *, label_map: Mapping[str, str], into: Sequence[str], name: str
) -> pa.Table:
    """An intermediate task's rows with their labels counted as `into`; classes are renamed by `label_map`.

    Raises:
        ConfigError: A class has no counterpart.
    """
    unknown = set(label_map) - set(labels)
    if unknown:
        raise ConfigError(f"init_from.label_map names {sorted(unknown)}, but {name} has the classes {list(labels)}.")
    target = [label_map.get(label, label) for label in labels]
    missing = [label for label in target if label not in into]
    if missing:
        raise ConfigError(
            f"init_from: class {missing[0]!r} of {name} is not among {list(into)}; map it with init_from.label_map."
        )
    numbers = pa.array([into.index(label) for label in target], type=pa.int64())
    return _renumbered(table, numbers)


def _renumbered(table: pa.Table, numbers: pa.Array) -> pa.Table:
    """Each label replaced by its number in `numbers`; a missing one stays missing."""
    at = table.schema.get_field_index("label")
    return table.set_column(at, "label", pc.take(numbers, table["label"].combine_chunks()))
