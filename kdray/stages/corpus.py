"""Stage `corpus`: named or own rows, read, validated, split, written once."""

from typing import Any

from kdray.corpora import CorpusSettings, StoredCorpus, load_corpus, read_corpus, save_corpus
from kdray.origin import identity_of
from kdray.stages.context import Context
from kdray.store import Artifact

WHOLE = "all rows that were given"  # where no official size is known


def read(settings: CorpusSettings, context: Context) -> Artifact:
    """The corpus as an artifact. Its digest holds the rows themselves, so changed files give another one."""
    corpus = read_corpus(settings, data_dir=context.data_dir)
    return context.make(
        "corpus",
        corpus.task.name,
        settings={
            "metrics": [identity_of(name) for name in corpus.task.metrics],
            "labels": list(corpus.task.labels),
            "fields": [[field.name, field.role] for field in corpus.task.fields],
        }
        | ({} if corpus.task.kind == "single_label" else {"task": identity_of(corpus.task.kind)}),
        inputs={"rows": corpus.fingerprint},
        build=lambda draft: _summary(
            save_corpus(corpus, draft.folder), whole="full" if corpus.task.full_rows else WHOLE
        ),
    )


def load_stored(artifact: Artifact) -> StoredCorpus:
    return load_corpus(artifact.folder)


def _summary(info: dict[str, Any], *, whole: str) -> dict[str, Any]:
    rows = " / ".join(f"{split} {number:,}" for split, number in info["rows"].items())
    return {"rows": rows, "note": info["note"] or whole, "origin": info["origin"]}
