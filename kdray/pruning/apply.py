"""Texts and rows after decisions. Each row needs only its own decisions, so any sharding gives the same result."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from kdray.errors import ConfigError
from kdray.pruning.units import HASH_COLUMN, WHOLE_ROW, field_texts, joined_texts, row_ids, text_hash

_Units = list[tuple[str, bool]]


def drop_sentences(
    table: pa.Table, fields: Sequence[str], decisions: pa.Table, *, id_column: str = "id"
) -> dict[str, list[str]]:
    """The pruned texts of each field, in the order of the rows.

    Raises:
        ConfigError: A row has no decisions, or its text is not the one that the decisions were made for.
    """
    ids = row_ids(table, id_column)
    found = _by_field(decisions, ids)
    return {
        field: [
            "".join(text for text, kept in _matching(found, name, field, original) if kept)
            for name, original in zip(ids, field_texts(table, field), strict=True)
        ]
        for field in fields
    }


def replace_texts(table: pa.Table, texts: dict[str, list[str]]) -> pa.Table:
    """The table with the given fields' texts replaced, and a hash of the originals that marks it as pruned."""
    hashes = original_hashes(table, list(texts))
    for field, values in texts.items():
        index = table.column_names.index(field)
        table = table.set_column(index, table.schema.field(index), pa.array(values, table.schema.field(index).type))
    return table.append_column(HASH_COLUMN, hashes)


def drop_rows(table: pa.Table, fields: Sequence[str], decisions: pa.Table, *, id_column: str = "id") -> pa.Table:
    """The rows that are kept, with a hash of their texts that marks the table as pruned.

    Raises:
        ConfigError: As `drop_sentences`.
    """
    ids = row_ids(table, id_column)
    found = _by_field(decisions, ids)
    joined = joined_texts(table, fields)
    kept = [_matching(found, name, WHOLE_ROW, text)[0][1] for name, text in zip(ids, joined, strict=True)]
    return table.append_column(HASH_COLUMN, original_hashes(table, fields)).filter(pa.array(kept, pa.bool_()))


def original_hashes(table: pa.Table, fields: Sequence[str]) -> pa.Array:
    """A hash of each row's texts in the given fields."""
    columns = [field_texts(table, field) for field in fields]
    return pa.array([text_hash("\x1f".join(parts)) for parts in zip(*columns, strict=True)], pa.string())


def _by_field(decisions: pa.Table, ids: list[str]) -> dict[tuple[str, str], _Units]:
    # A part looks up its own rows only: Python touches no decision of another part.
    mine = decisions.filter(pc.field("id").isin(pa.array(ids, pa.string())))
    found: dict[tuple[str, str], _Units] = {}
    for name, field, text, kept in _rows(mine, "id", "field", "text", "kept"):
        found.setdefault((name, field), []).append((text, kept))
    return found


def _matching(found: dict[tuple[str, str], _Units], name: str, field: str, original: str) -> _Units:
    units = found.get((name, field))
    where = f"Row {name!r}" + ("" if field == WHOLE_ROW else f", {field!r}")
    if units is None:
        raise ConfigError(f"{where}: no decision for this row; fit on this split, or use the decisions made from it.")
    if "".join(text for text, _ in units) != original:
        raise ConfigError(
            f"{where}: the text differs from the decided one (changed, or pruned before); use the original."
        )
    return units


def _rows(table: pa.Table, *names: str) -> zip:
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)
