"""Check one split and convert it to the stored form; errors are one sentence."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from kdray.corpora.source import Source
from kdray.corpora.tasks import LANGUAGE, UNLABELED, Task
from kdray.errors import ConfigError, plural
from kdray.origin import outside
from kdray.tasks import LabelError, get_task, mended
from kdray.utf8 import is_readable

_NO_TEXT = "is empty; every field needs text: remove the row, fill it, or set corpus.skip_empty = true"
_LISTS_OF_TEXT = tuple(kind(each) for kind in (pa.list_, pa.large_list) for each in (pa.string(), pa.large_string()))


def normalize(
    raw: pa.Table, *, task: Task, split: str, source: Source, columns: Mapping[str, str], is_labeled: bool
) -> pa.Table:
    """The columns `id`, one for each field, `language` where it counts, and `label`, checked and in file order.

    Args:
        raw: the file's rows, at least one.
        task: defines the allowed fields and classes.
        split: the file's split, the first part of every id: "train:17" is row 17 (the first is 0) of train, and
            "train:x3" the row whose own id is x3.
        source: how errors name the file and its rows.
        columns: field name, `label` or `id` to column; a name that is left out is the column itself.
        is_labeled: whether every row must have a label.

    Returns:
        `id` string, fields string, `label` (int64 for classes) with nulls for rows without a label.

    Raises:
        ConfigError: a column is missing or of a wrong type, a text is null or empty, a label is outside the classes or
            missing, or two rows have one id.
    """
    given = {name: columns.get(name, name) for name in (*task.field_names, "label", "id")}
    for name in (*task.field_names, "label"):
        _require(raw, name, given[name], source)
    target = get_task(task.kind).target
    if target == "tags":
        tokens, *others = task.field_names
        found, labels = read_tagged(raw, given[tokens], given["label"], task, source)
        texts = {tokens: found} | {name: _tokens(raw, given[name], source) for name in others}
    else:
        texts = {name: _texts(raw, given[name], source) for name in task.field_names}
        labels = read_labels(raw, given["label"], task, source)
    if is_labeled:
        _refuse_first(pc.is_null(labels), source, given["label"], f"has no label; every row of {split} needs one")
    if "id" in columns:
        _require(raw, "id", given["id"], source)
    ids = _ids(raw, given["id"], split, source)
    return pa.table({"id": ids, **texts, **_language(raw, task, source), "label": labels})


def _language(raw: pa.Table, task: Task, source: Source) -> dict[str, pa.ChunkedArray]:
    if task.language is None:
        return {}
    if task.language not in raw.column_names:
        found = ", ".join(raw.column_names)
        raise ConfigError(f'{source} has no column "{task.language}" for the language of rows; found: {found}.')
    return {LANGUAGE: _texts(raw, task.language, source)}


def _require(raw: pa.Table, name: str, column: str, source: Source) -> None:
    if column not in raw.column_names:
        found = ", ".join(raw.column_names)
        raise ConfigError(
            f'{source} has no column "{column}" for {name}; found: {found}. Name the right one with '
            f"corpus.columns.{name}."
        )


def _refuse_first(is_bad: pa.ChunkedArray, source: Source, column: str, what: str) -> None:
    row = pc.index(is_bad, True).as_py()
    if row >= 0:
        raise ConfigError(f'{source}, {source.at(row)}, column "{column}" {what}.')


def _texts(raw: pa.Table, column: str, source: Source) -> pa.ChunkedArray:
    found = _as_text(raw[column], source, column)
    if found is None:
        raise ConfigError(f'{source}, column "{column}" is of type {raw[column].type}; a field must be text.')
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(found, ""))
    _refuse_first(pc.equal(trimmed, ""), source, column, _NO_TEXT)
    return found


def _tokens(raw: pa.Table, column: str, source: Source) -> pa.ChunkedArray:
    """Lists of tokens, each with one or more characters."""
    values = raw[column]
    if values.type not in _LISTS_OF_TEXT:
        raise ConfigError(
            f'{source}, column "{column}" is of type {values.type}; a row needs a list of tokens, in parquet or JSON '
            "Lines."
        )
    found = values.cast(pa.list_(pa.string()))
    is_bad = pa.chunked_array([[not each or not all(each) for each in found.to_pylist()]])
    _refuse_first(is_bad, source, column, "has no token, or an empty one; remove it, or the row")
    return found


def read_tagged(
    raw: pa.Table, column: str, label: str, task: Task, source: Source
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Lists of tokens, and as many tags of each row that has tags.

    Raises:
        ConfigError: A column is of another type, a tag is none of the task's, or a row has another number of tags.
    """
    tokens, tags = _tokens(raw, column, source), read_labels(raw, label, task, source)
    ours, theirs = pc.list_value_length(tokens), pc.list_value_length(tags)
    row = pc.index(pc.not_equal(ours, theirs), True).as_py()
    if row >= 0:
        raise ConfigError(
            f'{source}, {source.at(row)} has {plural(ours[row].as_py(), "token")} in "{column}", but '
            f'{plural(theirs[row].as_py(), "tag")} in "{label}": every token needs one tag.'
        )
    return tokens, tags


def _as_text(values: pa.ChunkedArray, source: Source, column: str) -> pa.ChunkedArray | None:
    """As string; null-typed columns too, so that the error names the first row. None for any other type.

    Raises:
        ConfigError: A value is not valid text; reading a file does not check this.
    """
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not is_text and not pa.types.is_null(kind):
        return None
    found = values.cast(pa.string())
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        is_bad = pa.chunked_array([[not is_readable(value) for value in found]])
        _refuse_first(is_bad, source, column, "is not valid UTF-8; correct or remove the row")
    return found


def read_labels(raw: pa.Table, column: str, task: Task, source: Source) -> pa.ChunkedArray:
    """The labels as the task has them, null for rows without one.

    Raises:
        ConfigError: A label is none of the task's, or the column is of another type.
    """
    read = _labels if get_task(task.kind).target == "class" else _other_labels
    return read(raw, column, task, source)


def _labels(raw: pa.Table, column: str, task: Task, source: Source) -> pa.ChunkedArray:
    values = raw[column]
    if pa.types.is_integer(values.type) and task.labels_are_numbers:
        numbers = _numbers_of(values.cast(pa.string()), column, task, source)
    elif pa.types.is_integer(values.type):
        numbers = values.cast(pa.int64())
    elif (names := _as_text(values, source, column)) is not None:
        numbers = _numbers_of(names, column, task, source)
    else:
        if values.null_count:  # pandas makes numbers of fractions where one is missing
            _refuse_first(pc.is_null(values), source, column, f"is empty; allowed are {_allowed(task)}")
        raise ConfigError(f'{source}, column "{column}" is of type {values.type}; allowed are {_allowed(task)}.')
    is_bad = pc.or_(pc.less(numbers, UNLABELED), pc.greater_equal(numbers, task.num_classes))
    row = pc.index(is_bad, True).as_py()
    if row >= 0:
        _refuse_first(is_bad, source, column, f"is {values[row].as_py()!r}; allowed are {_allowed(task)}")
    return pc.if_else(pc.equal(numbers, UNLABELED), pa.scalar(None, pa.int64()), numbers)


def _other_labels(raw: pa.Table, column: str, task: Task, source: Source) -> pa.ChunkedArray:
    """As the corpus's own task reads them."""
    values, kind = raw[column], get_task(task.kind)
    try:
        if task.tags == "mend" and pa.types.is_list(values.type):
            values, _ = mended(values, task.labels)
        with outside(f"task {kind.name}", type(kind), LabelError):
            found = kind.read(_as_text(values, source, column) or values, task.labels)
    except LabelError as error:
        raise ConfigError(
            f'{source}, {source.at(error.row)}, column "{column}" is {error.found!r}; allowed are {error.allowed}.'
        ) from error
    return pa.chunked_array([found])


def _numbers_of(names: pa.ChunkedArray, column: str, task: Task, source: Source) -> pa.ChunkedArray:
    """Class names or, except for `Task.labels_are_numbers`, class numbers; an empty CSV cell means unlabeled."""
    known_numbers = range(UNLABELED, 0 if task.labels_are_numbers else task.num_classes)
    numbers = {str(number): number for number in known_numbers}
    numbers |= {name: number for number, name in enumerate(task.labels)} | {"": UNLABELED}
    values = pc.fill_null(names, "")
    known = pa.array(list(numbers))
    position = pc.index_in(values, value_set=known)
    row = pc.index(pc.is_null(position), True).as_py()
    if row >= 0:
        what = f"is {values[row].as_py()!r}; allowed are {_allowed(task)}"
        _refuse_first(pc.is_null(position), source, column, what)
    return pc.take(pa.array(list(numbers.values()), pa.int64()), position)


def _allowed(task: Task) -> str:
    names = ", ".join(task.labels)
    numbers = "" if task.labels_are_numbers else f" or their numbers from 0 to {task.num_classes - 1}"
    return f"{names}{numbers}, or {UNLABELED} for a row without a label"


def _ids(raw: pa.Table, column: str, split: str, source: Source) -> pa.Array | pa.ChunkedArray:
    if column not in raw.column_names:
        return pa.array([f"{split}:{source.position(row)}" for row in range(raw.num_rows)])
    values = raw[column]
    own = values.cast(pa.string()) if pa.types.is_integer(values.type) else _as_text(values, source, column)
    if own is None:
        raise ConfigError(f'{source}, column "{column}" is of type {values.type}; an id must be text or an integer.')
    own = pc.fill_null(own, "")
    _refuse_first(pc.equal(own, ""), source, column, "is empty; every row needs its own id")
    seen: dict[str, int] = {}
    for row, each in enumerate(own.to_pylist()):
        if (first := seen.setdefault(each, row)) != row:
            raise ConfigError(
                f'{source}, {source.at(row)}, column "{column}" is {each!r}, as in {source.at(first)}: '
                "every row needs its own id."
            )
    return pc.binary_join_element_wise(pa.scalar(split), own, ":")
