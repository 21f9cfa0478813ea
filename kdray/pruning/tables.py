"""Prune a table, or one part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from kdray.errors import ConfigError
from kdray.pruning.apply import drop_rows, drop_sentences, replace_texts
from kdray.pruning.pruner import Pruner
from kdray.pruning.settings import PruneSettings
from kdray.pruning.units import Level, Role, prunable_fields, refuse_pruned, row_units, units_of


@dataclass(frozen=True)
class Pruned:
    """A pruned table and the decisions for its units, from which the originals can be restored."""

    table: pa.Table
    decisions: pa.Table


def units_at(
    table: pa.Table,
    fields: Sequence[tuple[str, Role]],
    settings: PruneSettings,
    *,
    level: Level,
    id_column: str = "id",
    label_column: str = "label",
) -> pa.Table:
    """The units of a table at a level: sentences of the prunable fields, or whole examples.

    Raises:
        ConfigError: As `units_of` and `row_units`; also, no field is prunable at level sentence.
    """
    if level == "row":
        return row_units(table, [name for name, _ in fields], id_column=id_column, label_column=label_column)
    names = sentence_fields(fields, settings)
    return units_of(table, names, id_column=id_column, splitter=settings.splitter)


def prune_table(
    table: pa.Table,
    fields: Sequence[tuple[str, Role]],
    pruner: Pruner,
    *,
    is_train: bool,
    id_column: str = "id",
) -> Pruned:
    """Shorten texts of any split by frozen statistics, row by row, with no medoid protected.

    Ids, labels, row count, row order and fields that are not prunable stay as they are; no field becomes empty. The
    result has one more column, `HASH_COLUMN`. Policy ``none`` returns the table itself.

    Raises:
        ConfigError: The table was pruned before, a column or text is missing, or the pruner drops whole examples, which
            are decided about on the whole training split (`prune_fitted`) and kept on every other.
    """
    refuse_pruned(table)
    if pruner.level == "row" and pruner.settings.policy.name != "none":
        raise ConfigError(_refusal(is_train))
    units = units_at(table, fields, pruner.settings, level=pruner.level, id_column=id_column)
    return _applied(table, fields, pruner, pruner.decide(units), id_column)


def prune_fitted(
    table: pa.Table,
    fields: Sequence[tuple[str, Role]],
    pruner: Pruner,
    decisions: pa.Table,
    *,
    is_train: bool,
    id_column: str = "id",
) -> Pruned:
    """Apply the decisions of `fit` to the split that was fitted, or to a part of it.

    Args:
        table: Rows of that split, unchanged.
        fields: All fields and their roles.
        pruner: From the same `fit`.
        decisions: From the same `fit`, about at least these rows.
        is_train: Whether this is the training split.
        id_column: The ids.

    Raises:
        ConfigError: A row has no decisions or another text, the table was pruned before, or whole examples would be
            dropped from a split that is not train.
    """
    refuse_pruned(table)
    if pruner.level == "row" and pruner.settings.policy.name != "none" and not is_train:
        raise ConfigError(_refusal(is_train))
    return _applied(table, fields, pruner, decisions, id_column)


def _applied(
    table: pa.Table, fields: Sequence[tuple[str, Role]], pruner: Pruner, decisions: pa.Table, id_column: str
) -> Pruned:
    if pruner.settings.policy.name == "none":
        return Pruned(table, decisions)
    if pruner.level == "row":
        names = [name for name, _ in fields]
        return Pruned(drop_rows(table, names, decisions, id_column=id_column), decisions)
    names = sentence_fields(fields, pruner.settings)
    return Pruned(replace_texts(table, drop_sentences(table, names, decisions, id_column=id_column)), decisions)


def sentence_fields(fields: Sequence[tuple[str, Role]], settings: PruneSettings) -> list[str]:
    """The prunable fields; refused if there is none and sentences are pruned."""
    names = prunable_fields(fields, prune_pairs=settings.prune_pairs)
    if not names and settings.policy.name != "none":
        roles = ", ".join(f"{name} is {role}" for name, role in fields)
        raise ConfigError(
            f"prune.level = sentence finds no prunable field ({roles}); set prune.level = row, or "
            "prune.prune_pairs = true if the fields are a pair."
        )
    return names


def _refusal(is_train: bool) -> str:
    if is_train:
        return "Whole examples are decided about on the entire training split; pass the decisions of fit on it."
    return "prune.level = row drops training examples only; leave validation and test splits as they are."
