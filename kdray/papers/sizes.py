"""The papers' tables of data beside the corpora of this machine."""

from collections.abc import Mapping
from typing import Any

from kdray.corpora import TEST, TRAIN, VALIDATION, Corpus, CorpusSettings, kdray_data, read_corpus
from kdray.errors import ConfigError
from kdray.papers.published import published
from kdray.papers.recipes import CORPORA
from kdray.papers.reproduce import line


def count_rows(name: str) -> dict[str, Any]:
    """The rows of a table's corpora in the folder KDRAY_DATA, beside the printed ones.

    Returns:
        `lines` (row, column, published, measured, difference) and `differs`; a corpus that is not there has no numbers.

    Raises:
        ConfigError: KDRAY_DATA is not set, or one of the corpora cannot be read.
    """
    printed, folder = published(name), kdray_data()
    if folder is None:
        raise ConfigError(
            f"{name} counts the rows of corpora in the folder KDRAY_DATA, which is not set; set it to a folder that "
            "holds <corpus>/<split>.parquet."
        )
    lines, notes = list[dict[str, Any]](), ["test splits of GLUE have no labels and are not read"]
    for row, corpus in CORPORA[name].items():
        found: Mapping[str, int | None] = {}
        if (folder / corpus).is_dir():
            read = read_corpus(CorpusSettings(name=corpus), data_dir=folder)
            found = _as_printed(read, has_dev=printed.value(row, "dev") is not None)
            notes += [f"{row}: {read.note}"] if read.note else []
        else:
            notes.append(f"{row}: not in KDRAY_DATA")
        lines += [line(printed, row, split, found.get(split)) for split in printed.columns]
    return {"name": name, "title": printed.title, "unit": printed.unit, "lines": lines, "differs": notes}


def _as_printed(corpus: Corpus, *, has_dev: bool) -> dict[str, int | None]:
    """Rows by the papers' names of the splits: of GLUE, kdray tests on dev and holds validation out from train."""
    rows = {split: table.num_rows for split, table in corpus.splits.items()}
    if corpus.task.test_split != TEST:
        return {"train": rows[TRAIN] + rows[VALIDATION], "dev": rows[TEST]}
    if not has_dev:
        return {"train": rows[TRAIN] + rows[VALIDATION], "test": rows[TEST]}
    return {"train": rows[TRAIN], "dev": rows[VALIDATION], "test": rows[TEST]}
