"""Predictions for files: read in parts, scored, and written with the columns that the file had."""

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from kdray.corpora.files import check_file, refuse_other_separator, unreadable
from kdray.corpora.lines import csv_rows, ending, json_rows, undecodable
from kdray.errors import ConfigError, one_of, plural
from kdray.export.predict import tagged
from kdray.serve.scorer import Row, Scorer

PART_ROWS = 4096
PREDICTION, CONFIDENCE, PROBABILITY = "prediction", "confidence", "p:"
TAGS, ENTITIES = "tags", "entities"
REJECTED = ".rejected.jsonl"
TOKENS = pa.list_(pa.string())
_ENTITY = {"type": pa.string(), "start": pa.int64(), "end": pa.int64(), "tokens": TOKENS, "confidence": pa.float64()}


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        columns: The column of each text of the model, by the text's name; one that is not named has its name.
        abstain_below: A row whose confidence is lower has no prediction; None predicts every row.
        probabilities: Also write the probability of every label.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    abstain_below: float | None = None
    probabilities: bool = True


@dataclass(frozen=True)
class Counts:
    """
    Attributes:
        rows: Read, with those that were rejected.
        rejected: Rows without a prediction, listed in the side file with the reason.
        abstained: Rows whose confidence is below the threshold.
        truncated: Rows of which the model read only the beginning.
    """

    rows: int = 0
    rejected: int = 0
    abstained: int = 0
    truncated: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True)
class Part:
    """Some rows of a file.

    Attributes:
        table: Rows that could be read.
        numbers: Of these rows, from 1: the lines of a CSV or JSON Lines file, the rows of parquet.
        rejected: Rows that could not be read: number and reason.
    """

    table: pa.Table
    numbers: Sequence[int]
    rejected: Sequence[tuple[int, str]] = ()


def predict_file(scorer: Scorer, source: Path, target: Path, options: Options) -> Counts:
    """Write a file with the rows of `source` and their predictions, in their order.

    Rows without a readable text are left out and listed in `<target>.rejected.jsonl` with the reason and their number
    (`line` of a CSV or JSON Lines file, `row` of parquet; both from 1).

    Args:
        source: A file .parquet, .csv or .jsonl; with lists of tokens .parquet or .jsonl.
        target: A new file of one of these kinds.

    Raises:
        ConfigError: A file has another suffix, the source cannot be read or lacks a column, or the target exists.
    """
    check_file(source, endings=WRITERS)
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; give the name of a new file, such as {target / source.name}.")
    if ending(target) not in WRITERS:
        raise ConfigError(f"{target}: the file must end in {one_of(WRITERS)}.")
    if target.exists():
        raise ConfigError(f"{target} exists already; remove it, or give the name of a new file.")
    if others := set(options.columns) - set(scorer.fields):
        raise ConfigError(f"--column {min(others)}=...: the model has no such text; it has {', '.join(scorer.fields)}.")
    names = [options.columns.get(name, name) for name in scorer.fields]
    counts = Counts()
    numbered = "row" if ending(source) == ".parquet" else "line"
    side = target.with_name(target.name + REJECTED)
    with _new_file(side) as rejected, _new_file(target) as draft:
        with rejected.open("w", encoding="utf-8") as log, _writer(ending(target), draft) as write:
            for part in _parts(source, names, TOKENS if scorer.has_tags else pa.string()):
                table, faults, counts_of_part = _predicted(scorer, part, options, source)
                counts += counts_of_part
                write(table)
                for number, reason in sorted([*part.rejected, *faults]):
                    log.write(json.dumps({numbered: number, "reason": reason}, ensure_ascii=False) + "\n")
        if not counts.rows:
            raise ConfigError(f"{source} has no rows: at least one is needed.")
        if not counts.rejected:
            rejected.unlink()
    return counts


def _parts(source: Path, texts: Sequence[str], kind: Any) -> Iterator[Part]:
    """
    Args:
        kind: The type of the columns `texts`: text, or lists of tokens.
    """
    try:
        yield from READERS[ending(source)](source, texts, kind)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}, {undecodable(source)}; save it as UTF-8, or correct the line.") from error


def _predicted(
    scorer: Scorer, part: Part, options: Options, source: Path
) -> tuple[pa.Table, list[tuple[int, str]], Counts]:
    names = [options.columns.get(name, name) for name in scorer.fields]
    for text, name in zip(scorer.fields, names, strict=True):
        if name not in part.table.column_names:
            found = ", ".join(part.table.column_names)
            raise ConfigError(f"{source} has no column {name!r}; found: {found}. Name it with --column {text}=COLUMN.")
    rows: list[Row] = []
    kept: list[int] = []
    faults: list[tuple[int, str]] = []
    for place, texts in enumerate(zip(*(part.table[name].to_pylist() for name in names), strict=True)):
        try:
            rows.append(scorer.check(texts))
            kept.append(place)
        except ConfigError as error:
            faults.append((part.numbers[place], _of_columns(str(error), scorer.fields, names)))
    added, counts = _columns(scorer, rows, options)
    table = part.table.take(pa.array(kept, pa.int64()))
    for name, column in added.items():
        if name in table.column_names:
            raise ConfigError(f"{source} has a column {name!r} already, which the prediction would have; rename it.")
        table = table.append_column(name, column)
    total = len(part.table) + len(part.rejected)
    return table, faults, Counts(total, len(faults) + len(part.rejected)) + counts


def _of_columns(reason: str, texts: Sequence[str], columns: Sequence[str]) -> str:
    """With the columns of the file in place of the texts of the model, where their names differ.

    >>> _of_columns("the text 'text' is missing", ["text"], ["review"])
    "the column 'review' is missing"
    """
    for text, column in zip(texts, columns, strict=True):
        if text != column:
            reason = reason.replace(f"the text {text!r}", f"the column {column!r}")
    return reason


def _columns(scorer: Scorer, rows: Sequence[Row], options: Options) -> tuple[dict[str, pa.Array], Counts]:
    """The columns of predictions, by name."""
    if scorer.has_tags:
        return _tag_columns(scorer, rows, options)
    if scorer.target == "value":
        kind: Any = pa.float64()
    else:
        kind = pa.list_(pa.string()) if scorer.target == "labels" else pa.string()
    if not rows:
        values, truncated = np.zeros((0, max(1, len(scorer.labels))), np.float32), np.zeros(0, bool)
    else:
        scores = scorer.score(rows)
        values, truncated = scores.values, scores.truncated
    chosen = scorer.predictions(values)
    counts = Counts(truncated=int(truncated.sum()))
    if scorer.target == "value":
        return {PREDICTION: pa.array(chosen, kind)}, counts
    added: dict[str, pa.Array] = {}
    if scorer.target == "class":
        confidence = values.max(axis=1, initial=0)
        least = scorer.abstain_below if options.abstain_below is None else options.abstain_below
        if least is not None:
            unsure = confidence < least
            chosen = [None if no else label for no, label in zip(unsure, chosen, strict=True)]
            counts += Counts(abstained=int(unsure.sum()))
        added = {CONFIDENCE: pa.array(confidence, pa.float32())}
    if options.probabilities:
        added |= {PROBABILITY + name: pa.array(values[:, place]) for place, name in enumerate(scorer.labels)}
    return {PREDICTION: pa.array(chosen, kind), **added}, counts


def _tag_columns(scorer: Scorer, rows: Sequence[Row], options: Options) -> tuple[dict[str, pa.Array], Counts]:
    if options.abstain_below is not None:
        raise ConfigError("--abstain-below has no effect on tags; leave it out.")
    found: list[dict[str, Any]] = []
    truncated = 0
    if rows:
        scores = scorer.score(rows)
        found = [tagged(each, scorer.labels, row[0]) for each, row in zip(scores.values, rows, strict=True)]
        truncated = int(scores.truncated.sum())
    kinds: dict[str, Any] = {TAGS: TOKENS, ENTITIES: pa.list_(pa.struct(list(_ENTITY.items())))}
    columns = {name: pa.array([row[name] for row in found], kind) for name, kind in kinds.items()}
    return columns, Counts(truncated=truncated)


def _parquet_parts(path: Path, texts: Sequence[str], kind: Any) -> Iterator[Part]:
    del texts, kind
    first = 1
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(PART_ROWS):
                table = pa.Table.from_batches([batch])
                table.validate(full=True)
                yield Part(table, range(first, first + len(table)))
                first += len(table)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, ending(path), error) from error


def _csv_parts(path: Path, texts: Sequence[str], kind: Any) -> Iterator[Part]:
    """Every cell as text, but for a blank cell in a column of texts, which is missing. A row with another number of
    cells than the header is rejected; a blank line is nothing."""
    if kind != pa.string():
        raise ConfigError(f"{path}: a CSV file cannot hold lists of tokens; save the rows as .parquet or .jsonl.")
    lines = csv_rows(path, path)
    _, names = next(lines, (1, list[str]()))
    if not set(texts) <= set(names):  # before the rows, whose quotes another separator breaks
        refuse_other_separator(names, path)
    if len(set(names)) < len(names):
        raise ConfigError(f"{path} has two columns of one name; rename one.")
    rows, numbers, bad = list[list[str]](), list[int](), list[tuple[int, str]]()
    for line, row in lines:
        if len(row) == len(names):
            rows.append(row)
            numbers.append(line)
        else:
            bad.append((line, f"it has {plural(len(row), 'cell')}, but the header has {len(names)}"))
        if len(rows) + len(bad) == PART_ROWS:
            yield Part(_text_table(names, rows, texts), numbers, bad)
            rows, numbers, bad = [], [], []
    if rows or bad:
        yield Part(_text_table(names, rows, texts), numbers, bad)


def _text_table(names: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[str]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table(
        {
            name: pa.array(
                [cell if cell.strip() else None for cell in column] if name in texts else column, pa.string()
            )
            for name, column in zip(names, columns, strict=True)
        }
    )


def _jsonl_parts(path: Path, texts: Sequence[str], kind: Any) -> Iterator[Part]:
    """A line that is no JSON object is rejected, as is one in which something else stands for a text (or for a list of
    tokens). Another column of objects, or of several kinds, becomes JSON text."""
    kinds: dict[str, set[type]] = {}
    for _, row in _json_lines(path):
        if isinstance(row, dict):
            for name, value in row.items():
                kinds.setdefault(name, set()).add(type(value))
    if not kinds and (first := next(((n, row) for n, row in _json_lines(path) if isinstance(row, str)), None)):
        raise ConfigError(f"{path}, line {first[0]}: {first[1]}; no line of the file holds a row.")
    types = {name: _arrow_type(found - {type(None)}) for name, found in kinds.items()}
    schema = pa.schema([(name, kind if name in texts else each) for name, each in types.items()])
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    bad: list[tuple[int, str]] = []
    for number, row in _json_lines(path):
        wrong = row if isinstance(row, str) else (_not_a_text if kind == pa.string() else _not_tokens)(row, texts)
        if isinstance(row, str) or wrong:
            bad.append((number, str(wrong)))
        else:
            rows.append({name: _as_type(row.get(name), schema.field(name).type) for name in schema.names})
            numbers.append(number)
        if len(rows) + len(bad) == PART_ROWS:
            yield Part(pa.Table.from_pylist(rows, schema), numbers, bad)
            rows, numbers, bad = [], [], []
    if rows or bad:
        yield Part(pa.Table.from_pylist(rows, schema), numbers, bad)


def _not_a_text(row: Mapping[str, Any], texts: Sequence[str]) -> str | None:
    wrong = [name for name in texts if not isinstance(row.get(name), str | None)]
    return f"the text {wrong[0]!r} is {json.dumps(row[wrong[0]])[:60]}, not a text" if wrong else None


def _not_tokens(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        found: Any = row.get(name)
        if found is not None and not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
            return f"{name!r} is {json.dumps(found)[:60]}, not a list of tokens"
    return None


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """As `json_rows`, without rows that UTF-8 cannot hold, and with whole sentences."""
    for number, row in json_rows(path):
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:  # half of a surrogate pair
            row = f"cannot be written again ({error})"
        yield number, f"the line {row}" if isinstance(row, str) else row


def _arrow_type(kinds: set[type]) -> Any:
    if kinds <= {int, float} and kinds:
        return pa.float64() if float in kinds else pa.int64()
    return pa.bool_() if kinds == {bool} else pa.string()


def _as_type(value: Any, kind: Any) -> Any:
    if value is None or isinstance(value, str) or kind != pa.string():
        return value
    return json.dumps(value, ensure_ascii=False)


READERS: Mapping[str, Callable[[Path, Sequence[str], Any], Iterator[Part]]] = {
    ".parquet": _parquet_parts,
    ".csv": _csv_parts,
    ".jsonl": _jsonl_parts,
}


@contextmanager
def _new_file(target: Path) -> Generator[Path]:
    """A draft next to `target`: renamed to it at the end (unless it was removed), or removed after an error."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        if draft.exists():
            draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _writer(suffix: str, path: Path) -> Generator[Callable[[pa.Table], None]]:
    with ExitStack() as stack:
        writers: list[Any] = []

        def write(table: pa.Table) -> None:
            if suffix == ".jsonl":
                file = writers[0] if writers else stack.enter_context(path.open("w", encoding="utf-8"))
                writers[:] = [file]
                file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in table.to_pylist())
                return
            plain = table if suffix == ".parquet" else _without_lists(table)
            if not writers:
                kind: Any = pq.ParquetWriter if suffix == ".parquet" else pc.CSVWriter
                writers.append(stack.enter_context(kind(path, plain.schema)))
            writers[0].write_table(plain)

        yield write


def _without_lists(table: pa.Table) -> pa.Table:
    """Lists as JSON texts: a cell of CSV holds one value."""
    for place, column in enumerate(table.schema):
        if pa.types.is_nested(column.type):
            texts = [json.dumps(value, ensure_ascii=False, default=str) for value in table[column.name].to_pylist()]
            table = table.set_column(place, column.name, pa.array(texts, pa.string()))
    return table


WRITERS = (".parquet", ".csv", ".jsonl")
