"""A corpus from outside of kdray: a function that returns its splits, in one file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
from pydantic import ValidationError

from kdray.corpora.settings import CorpusSettings
from kdray.corpora.tasks import Field
from kdray.errors import ConfigError
from kdray.origin import object_named, outside
from kdray.records import plain_message

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class OwnCorpus:
    """What the decorator `corpus` makes of a function.

    Attributes:
        settings: Labels, fields, task and metrics, as those of a folder.
        read: The function.
    """

    settings: CorpusSettings
    read: Callable[[], Mapping[str, Any]]

    def tables(self, shown: str) -> dict[str, pa.Table]:
        """The splits as tables.

        Raises:
            ConfigError: The function raised an exception, a split is missing, unknown, or no table.
        """
        with outside(f"corpus {shown}", self.read):
            found: Any = self.read()
        if not isinstance(found, Mapping):
            raise ConfigError(
                f"corpus {shown} returned {type(found).__name__}; expected a mapping with {' and '.join(SPLITS)}, or "
                "train and one of the others."
            )
        splits = cast("Mapping[str, Any]", found)
        if "train" not in splits or not {"test", "validation"} & set(splits):
            named = f"the splits {', '.join(map(str, splits))}" if splits else "no splits"
            raise ConfigError(f"corpus {shown} returned {named}; train and test are needed.")
        if unknown := [split for split in splits if split not in SPLITS]:
            raise ConfigError(
                f"corpus {shown} returned the split {unknown[0]!r}; allowed are {', '.join(SPLITS)}; rename it or "
                "remove it."
            )
        return {split: _table(rows, f"{shown}, {split}") for split, rows in splits.items()}


def corpus(
    *,
    labels: Sequence[str] = (),
    fields: Sequence[Field] = (Field("text", "body"),),
    metrics: Sequence[str] = (),
    task: str = "single_label",
) -> Callable[[Callable[[], Mapping[str, Any]]], OwnCorpus]:
    """A decorator for a function that returns the splits of a corpus: `train`, and `test` or `validation` or both.

    A split is a DataFrame, a pyarrow table, a mapping of columns or a list of rows, with a column for each field,
    `label` and, if the rows have one, `id`. A run names the function as `corpus.name: module:function` or
    `file.py:function`.

    Args:
        labels: As the setting `corpus.labels`.
        fields: As `corpus.fields`.
        metrics: As `corpus.metrics`.
        task: As `corpus.task`.

    Raises:
        ConfigError: They do not fit together.

    >>> @corpus(labels=["bad", "good"])
    ... def reviews():
    ...     rows = [{"text": "a good film", "label": "good"}, {"text": "a bad film", "label": "bad"}]
    ...     return {"train": rows, "test": rows}
    >>> reviews.tables("reviews")["train"].column_names
    ['text', 'label']
    """
    plain = {"name": "folder", "path": ".", "labels": labels, "fields": fields, "metrics": metrics, "task": task}
    settings = checked({key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()})
    return lambda read: OwnCorpus(settings, read)


def own_corpus(name: str) -> OwnCorpus:
    """The corpus that `module:function` or `file.py:function` names.

    Raises:
        ConfigError: There is none.
    """
    found = object_named(name, "corpus.name")
    if not isinstance(found, OwnCorpus):
        what = "there is no such function" if found is None else "it has no decorator @kdray.corpora.corpus"
        raise ConfigError(f"corpus.name = {name!r}: {what} in {name.rpartition(':')[0]}.")
    return found


def checked(plain: Mapping[str, Any]) -> CorpusSettings:
    """Settings of a corpus from outside.

    Raises:
        ConfigError: They do not fit together.
    """
    try:
        return CorpusSettings.model_validate(plain)
    except ValidationError as error:
        sentence = plain_message(error.errors()[0])
        raise ConfigError(f"corpus: {sentence}.") from None


def _table(rows: Any, shown: str) -> pa.Table:
    try:
        if isinstance(rows, pa.Table):
            found = rows
        elif isinstance(rows, Mapping):
            found = pa.table(dict(rows))
        elif hasattr(rows, "iloc"):
            found = pa.Table.from_pandas(rows, preserve_index=False)
        else:
            found = pa.Table.from_pylist(list(rows))
    except (pa.ArrowException, TypeError, AttributeError) as error:
        raise ConfigError(f"{shown} is no table of rows: {str(error).splitlines()[0]}.") from error
    if found.num_rows == 0:
        raise ConfigError(f"{shown} has no rows: at least one is needed.")
    return found
