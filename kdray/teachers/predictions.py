"""Predictions from elsewhere: a file of labels, votes, probabilities or scores, as the logits of a teacher.

A file has one row for each row of the corpus that it covers, named by `id` or by its texts, and one of these forms:

| columns | meaning |
|---|---|
| `logit:LABEL` for every label, or a list `logits` | scores before a softmax, used as they are |
| `logp:LABEL`, or a list `log_probabilities` | natural logarithms of probabilities, used as they are |
| `p:LABEL`, or a list `probabilities` | probabilities; their logarithms are used |
| `votes:LABEL`, or a list `votes` of labels | how often each label was given |
| `label` or `prediction` | one label; only where none of the above is there |

Lists have the order of the corpus's labels. A probability of 0 becomes `FLOOR`, or the row's smallest other one where
that is less. Votes become (1 − `SMOOTHING`) · share of the votes + `SMOOTHING` / number of labels; a label is one vote.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kdray.corpora.files import check_file, read_table
from kdray.corpora.source import Source
from kdray.errors import ConfigError
from kdray.models import ModelInfo
from kdray.store import file_sha256

FLOOR = 1e-6
SMOOTHING = 0.1
_COUNTED = re.compile(r"[a-z]+:(?P<file>train|validation|test)-(?P<row>\d+)")
TOLERANCE = 0.01  # by which probabilities may miss a sum of 1: they are often written with two digits


@dataclass(frozen=True)
class GivenLogits:
    """One split.

    Attributes:
        logits: float32 [rows, labels]; 0 where there is no prediction.
        predicted: Which rows have a prediction, [rows].
    """

    logits: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class _File:
    table: pa.Table
    shown: Source
    labels: tuple[str, ...]

    def refuse(self, row: int, column: str, what: str) -> NoReturn:
        raise ConfigError(f'{self.shown}, {self.shown.at(row)}, column "{column}" {what}.')


def no_model(name: str, labels: Sequence[str]) -> ModelInfo:
    """What stands for a teacher that is a file of predictions."""
    return ModelInfo(name=name, layers=0, width=0, classes=len(labels))


def digest_of_file(path: Path) -> str:
    """The sha256 of a file of predictions.

    Raises:
        ConfigError: There is no such file, or it has another format.
    """
    check_file(path, shown=f"predictions {path}")
    return file_sha256(path)


def read_predictions(
    path: Path, tables: Mapping[str, pa.Table], *, fields: Sequence[str], labels: Sequence[str], is_part: bool = False
) -> dict[str, GivenLogits]:
    """The predictions for every split of a corpus.

    Args:
        path: A file .parquet, .csv or .jsonl.
        tables: The splits, with the columns id and `fields`.
        is_part: The corpus is a part of what it was made from, so the file may name rows that it lacks.

    Raises:
        ConfigError: The file has none or several of the forms above, a value is not allowed, a row is named twice or is
            not in the corpus, or no row of train has a prediction.
    """
    file = _File(read_table(path, path.name), Source(path.name, path), tuple(labels))
    logits, predicted = _logits(file)
    places = _places(file, tables, fields, logits, is_part=is_part)
    found = {split: np.full((len(table), len(labels)), np.nan, np.float32) for split, table in tables.items()}
    for row in np.flatnonzero(predicted):
        for split, place in places[row]:
            found[split][place] = logits[row]
    result = {
        split: GivenLogits(np.nan_to_num(each), np.asarray(~np.isnan(each).any(axis=1)))
        for split, each in found.items()
    }
    if not result["train"].predicted.any():
        raise ConfigError(f"{path.name} has no prediction for a row of train; a teacher needs at least one.")
    return result


def _places(
    file: _File, tables: Mapping[str, pa.Table], fields: Sequence[str], logits: np.ndarray, *, is_part: bool
) -> list[list[tuple[str, int]]]:
    """For each row of the file, the rows of the corpus that it is about."""
    columns = file.table.column_names
    by_id = "id" in columns
    if not by_id and not set(fields) <= set(columns):
        raise ConfigError(
            f"{file.shown} has no column id and not every text ({', '.join(fields)}); found: {', '.join(columns)}. "
            "Add one of them, so that rows can be matched with the corpus."
        )
    names = ["id"] if by_id else list(fields)
    keys = list(zip(*(file.table[name].cast(pa.string()).to_pylist() for name in names), strict=True))
    known = _rows_by_key(tables, names)
    first: dict[tuple[Any, ...], int] = {}
    for row, key in enumerate(keys):
        earlier = first.setdefault(key, row)
        if earlier != row and (by_id or not np.array_equal(logits[row], logits[earlier], equal_nan=True)):
            other = "" if by_id else " with another prediction"
            file.refuse(
                row, names[0], f"is {key[0]!r}, as in {file.shown.at(earlier)}{other}; keep one of the two rows"
            )
        if key not in known and not is_part:
            advice, like = "remove the row", ""
            if by_id:
                advice += ", or the column id to match by text"
                like = f" (an id of train is {tables['train']['id'][0].as_py().removeprefix('train:')!r})"
            file.refuse(row, names[0], f"is {key[0]!r}, which no row of the corpus has{like}; {advice}")
    return [known.get(key, []) for key in keys]


def _rows_by_key(tables: Mapping[str, pa.Table], names: Sequence[str]) -> dict[tuple[Any, ...], list[tuple[str, int]]]:
    """The rows of the corpus by id, as "train:17" or for the file train also "17", or by texts.

    Rows of a `Dataset` of Python, whose ids are such as "train-17", have the same names.
    """
    known: dict[tuple[Any, ...], list[tuple[str, int]]] = {}
    for split, table in tables.items():
        for place, key in enumerate(zip(*(table[name].to_pylist() for name in names), strict=True)):
            known.setdefault(key, []).append((split, place))
    if list(names) == ["id"]:
        own = {(key[0].removeprefix("train:"),): rows for key, rows in known.items() if key[0].startswith("train:")}
        counted = {key: _COUNTED.fullmatch(key[0]) for key in known}
        of_python = {(f"{found['file']}:{found['row']}",): known[key] for key, found in counted.items() if found}
        plain = {
            (name.removeprefix("train:"),): rows for (name,), rows in of_python.items() if name.startswith("train:")
        }
        return plain | of_python | own | known
    return known


def _logits(file: _File) -> tuple[np.ndarray, np.ndarray]:
    """Logits of every row of the file, float64 [rows, labels], and which rows have a prediction."""
    columns = file.table.column_names
    named = [prefix for prefix in _SCORES if any(name.startswith(prefix) for name in columns)]
    listed = [name for name in _LISTS if name in columns]
    if len(found := [*named, *listed]) > 1:
        raise ConfigError(f"{file.shown} has predictions in the forms {' and '.join(found)}; keep one of them.")
    if named:
        values, predicted = _of_columns(file, named[0])
        column = named[0] + file.labels[0]
        convert = _SCORES[named[0]]
    elif listed == ["votes"]:
        values, predicted = _counted(file, "votes", _vote_lists(file))
        column, convert = "votes", _votes
    elif listed:
        values, predicted = _of_lists(file, listed[0])
        column, convert = listed[0], _SCORES[_LISTS[listed[0]]]
    else:
        single = [name for name in ("label", "prediction") if name in columns]
        if len(single) != 1:
            what = "the columns label and prediction; keep one" if single else _NO_FORM
            raise ConfigError(f"{file.shown} has {what}; found: {', '.join(columns)}.")
        column, convert = single[0], _votes
        values, predicted = _counted(file, column, [[] if v is None else [v] for v in _texts(file, column)])
    logits = np.full(values.shape, np.nan)
    rows = np.flatnonzero(predicted)
    logits[rows] = convert(file, column, rows, values[rows])
    return logits, predicted


def _of_columns(file: _File, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """One column for each label; a row whose cells are all empty has no prediction."""
    given = [name.removeprefix(prefix) for name in file.table.column_names if name.startswith(prefix)]
    if wrong := sorted(set(given).symmetric_difference(file.labels)):
        raise ConfigError(
            f"{file.shown} has the columns {', '.join(prefix + name for name in given)}, but the corpus has the labels "
            f"{', '.join(file.labels)}; one column for each is needed ({wrong[0]!r} has no counterpart)."
        )
    columns = [_numbers(file, prefix + name) for name in file.labels]
    values, empty = np.stack([c[0] for c in columns], axis=1), np.stack([c[1] for c in columns], axis=1)
    for row, place in np.argwhere(empty & ~empty.all(axis=1, keepdims=True))[:1]:
        file.refuse(row, prefix + file.labels[place], "is empty, but others of the row are not; fill it or empty all")
    return values, np.asarray(~empty.all(axis=1))


def _numbers(file: _File, column: str) -> tuple[np.ndarray, np.ndarray]:
    """float64 [rows], and which of them are empty."""
    values = file.table[column]
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):  # every cell of a CSV is text
        trimmed = pc.utf8_trim_whitespace(values)
        values = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)
    try:
        return values.cast(pa.float64()).to_numpy(), pc.is_null(values).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        for row, value in enumerate(values.to_pylist()):
            if value is not None and not _is_number(value):
                file.refuse(row, column, f"is {value!r}; a number is needed")
        raise


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _of_lists(file: _File, column: str) -> tuple[np.ndarray, np.ndarray]:
    """A list of numbers in each row, in the order of the labels; null is no prediction."""
    rows = file.table[column].to_pylist()
    values = np.full((len(rows), len(file.labels)), np.nan)
    for row, given in enumerate(rows):
        if given is None:
            continue
        if not isinstance(given, list) or not all(_is_number(each) for each in given):
            file.refuse(row, column, f"is {given!r}; a list of {len(file.labels)} numbers is needed")
        if len(given) != len(file.labels):
            file.refuse(row, column, f"has {len(given)} numbers; one for each of {len(file.labels)} labels is needed")
        values[row] = given
    return values, np.array([given is not None for given in rows])


def _texts(file: _File, column: str) -> list[str | None]:
    """Labels as text, None where a cell is empty."""
    values = file.table[column]
    if not (pa.types.is_integer(values.type) or pa.types.is_null(values.type)) and not _is_text(values.type):
        raise ConfigError(f'{file.shown}, column "{column}" is of type {values.type}; it must hold labels.')
    return [value or None for value in values.cast(pa.string()).to_pylist()]


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(inner) or pa.types.is_large_string(inner)


def _vote_lists(file: _File) -> list[list[str]]:
    """The labels of each row; in a CSV they are joined by ";"."""
    values = file.table["votes"]
    if _is_text(values.type):
        return [[each.strip() for each in text.split(";")] if text else [] for text in _texts(file, "votes")]
    if not pa.types.is_list(values.type) and not pa.types.is_large_list(values.type):
        raise ConfigError(f'{file.shown}, column "votes" is of type {values.type}; it must hold lists of labels.')
    return [[str(each) for each in given or []] for given in values.to_pylist()]


def _counted(file: _File, column: str, votes: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """How often each label was given in each row; a row without a vote has no prediction."""
    number = {label: place for place, label in enumerate(file.labels)}
    counts = np.zeros((len(votes), len(file.labels)))
    for row, given in enumerate(votes):
        for label in given:
            if label not in number:
                file.refuse(row, column, f"is {label!r}; allowed are {', '.join(file.labels)}")
            counts[row, number[label]] += 1
    return counts, np.asarray(counts.any(axis=1))


def _scores(file: _File, column: str, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    _refuse_where(
        ~np.isfinite(values.astype(np.float32)), file, column, rows, values, "logits must be finite in 32 bits"
    )
    return values


def _probabilities(file: _File, column: str, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    _refuse_where(~(values >= 0), file, column, rows, values, "probabilities must be numbers of 0 to 1")
    total = values.sum(axis=1)
    for place in np.flatnonzero(~(abs(total - 1) <= TOLERANCE))[:1]:
        raise ConfigError(
            f"{file.shown}, {file.shown.at(int(rows[place]))}: the probabilities sum to {total[place]:.4g}, not to 1 "
            f"(± {TOLERANCE}); give those of all labels."
        )
    floor = np.minimum(FLOOR, np.where(values > 0, values, 1).min(axis=1, keepdims=True))
    return np.log(np.where(values > 0, values, floor))


def _log_probabilities(file: _File, column: str, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    is_bad = np.isnan(values) | (values == np.inf)
    _refuse_where(is_bad, file, column, rows, values, "log-probabilities must be numbers of 0 or less")
    logits = _probabilities(file, column, rows, np.exp(values))
    return np.where(np.isfinite(values), values, logits)


def _votes(file: _File, column: str, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    _refuse_where(~(values >= 0) | np.isinf(values), file, column, rows, values, "counts must be numbers of 0 or more")
    total = values.sum(axis=1, keepdims=True)
    for place in np.flatnonzero(total[:, 0] == 0)[:1]:
        raise ConfigError(
            f"{file.shown}, {file.shown.at(int(rows[place]))} has no vote for any label; leave its cells empty."
        )
    return np.log((1 - SMOOTHING) * values / total + SMOOTHING / values.shape[1])


def _refuse_where(
    is_bad: np.ndarray, file: _File, column: str, rows: np.ndarray, values: np.ndarray, rule: str
) -> None:
    for place, label in np.argwhere(is_bad)[:1]:
        prefix, colon, _ = column.partition(":")
        shown = f"{prefix}:{file.labels[label]}" if colon else column
        file.refuse(int(rows[place]), shown, f"holds {values[place, label]:g}; {rule}")


_SCORES: Mapping[str, Callable[[_File, str, np.ndarray, np.ndarray], np.ndarray]] = {
    "logit:": _scores,
    "logp:": _log_probabilities,
    "p:": _probabilities,
    "votes:": _votes,
}
_LISTS = {"logits": "logit:", "log_probabilities": "logp:", "probabilities": "p:", "votes": "votes:"}
_NO_FORM = "no predictions: it needs a column label, votes or probabilities, or p:LABEL for every label"
