"""Corpora: the named tasks, reading and checking a corpus, its splits, its stored form, and its rows as token ids."""

from kdray.corpora.batches import balanced_batches, length_batches
from kdray.corpora.encoding import Encoded, Words, collate, encode
from kdray.corpora.finding import kdray_data, resolve_auto
from kdray.corpora.own import OwnCorpus, corpus
from kdray.corpora.reading import Corpus, fingerprint, read_corpus
from kdray.corpora.settings import CorpusSettings, Fold
from kdray.corpora.splits import choose
from kdray.corpora.stored import StoredCorpus, StoredTask, load_corpus, load_description, save_corpus, save_splits
from kdray.corpora.tasks import TASKS, TEST, TRAIN, VALIDATION, Field, Role, Task

__all__ = [
    "TASKS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Corpus",
    "CorpusSettings",
    "Encoded",
    "Field",
    "Fold",
    "OwnCorpus",
    "Role",
    "StoredCorpus",
    "StoredTask",
    "Task",
    "Words",
    "balanced_batches",
    "choose",
    "collate",
    "corpus",
    "encode",
    "fingerprint",
    "kdray_data",
    "length_batches",
    "load_corpus",
    "load_description",
    "read_corpus",
    "resolve_auto",
    "save_corpus",
    "save_splits",
]
