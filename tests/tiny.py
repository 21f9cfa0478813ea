"""Things too small to be useful and large enough to be true: encoders of width 16, rows of a few tokens."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    BertTokenizer,
)

from kdray.config import RunConfig, parse
from kdray.corpora import Encoded, Words
from kdray.engines import InProcess
from kdray.seeds import seed_of
from kdray.signals import OutputsWriter
from kdray.stages import resumable_map
from kdray.tasks import NO_WORD
from kdray.train import Checkpoint, Rows

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "the", "a", "was", "very", "and", "it")
MAX_LENGTH = 32
LABELS = ("negative", "positive")
POSITIONS = 128  # as many as the stage prune reads of a unit
WIDTH = 16


class NoCheckpoints:
    """For trainings that are cheaper to repeat than to save."""

    def save(self, checkpoint: Checkpoint) -> None: ...

    def load(self) -> Checkpoint | None:
        return None


def bert_config(
    *, layers: int = 4, width: int = WIDTH, heads: int = 2, dropout: float = 0.0, **more: Any
) -> BertConfig:
    return BertConfig(
        vocab_size=len(WORDS),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=2 * width,
        max_position_embeddings=POSITIONS,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.2,  # wide enough for a random model to have opinions
        **more,
    )


def classifier(*, seed: int, classes: int = 2, **settings: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForSequenceClassification(bert_config(num_labels=classes, **settings)).eval()


def token_classifier(*, seed: int, classes: int = 2, **settings: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForTokenClassification(bert_config(num_labels=classes, **settings)).eval()


def save_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=POSITIONS).save_pretrained(folder)


def save_encoder(folder: Path, *, seed: int = 0, layers: int = 4, width: int = WIDTH) -> Path:
    """An encoder without a classifier, as a hub would hold it."""
    save_tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(bert_config(layers=layers, width=width, dropout=0.1)).save_pretrained(folder)
    return folder


def save_fine_tuned(folder: Path, model: Any, labels: Sequence[str]) -> Path:
    save_tokenizer(folder)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}
    model.save_pretrained(folder)
    return folder


def random_rows(number: int, *, seed: int, classes: int = 2, unlabeled: Sequence[int] = ()) -> Rows:
    """Rows of 3 to 20 tokens with ids r0, r1, ..."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(3, 21, number)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = draw.integers(5, len(WORDS), offsets[-1]).astype(np.int32)
    ids[offsets[:-1]] = 2  # every row begins with its own [CLS]
    labels = torch.from_numpy(draw.integers(0, classes, number))
    labels[list(unlabeled)] = -1
    encoded = Encoded(ids, np.zeros(len(ids), np.uint8), offsets, MAX_LENGTH)
    return Rows([f"r{i}" for i in range(number)], encoded, labels, 0)


def with_words(rows: Rows, *, classes: int = 2) -> Rows:
    """The same rows, of words of two tokens each, which have random tags; the second word of row 1 is not read."""
    starts = [list(range(1, int(length), 2)) for length in rows.encoded.lengths]
    starts[1][1] = -1
    words = Words.of(starts)
    draw = torch.Generator().manual_seed(6)
    tags = torch.randint(0, classes, words.starts.shape, generator=draw)
    tags[~torch.from_numpy(words.is_word)] = NO_WORD
    tags[rows.labels < 0] = NO_WORD
    return replace(rows, encoded=replace(rows.encoded, words=words), labels=tags)


def random_word_outputs(folder: Path, rows: Rows, *, seed: int, classes: int = 2) -> Path:
    """Every seventh word is one that the teacher does not read."""
    folder.mkdir(parents=True, exist_ok=True)
    words = rows.encoded.words
    assert words is not None
    writer = OutputsWriter(folder, "train", rows.ids, {"logits": (classes,)}, words=words.lengths)
    drawn = np.random.default_rng(seed).standard_normal((int(words.lengths.sum()), classes))
    drawn[3::7] = np.nan
    writer.write(rows.ids, {"logits": 2 * drawn})
    writer.finish()
    return folder


def write_outputs(folder: Path, values: Mapping[str, np.ndarray], *, split: str = "train") -> Path:
    """Teacher outputs for rows r0, r1, ... in the form that the stage `outputs` leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    number = len(next(iter(values.values())))
    ids = [f"r{i}" for i in range(number)]
    writer = OutputsWriter(folder, split, ids, {kind: array.shape[1:] for kind, array in values.items()})
    writer.write(ids, dict(values))
    writer.finish()
    return folder


def random_outputs(
    folder: Path, number: int, *, seed: int, classes: int = 2, layers: int = 4, width: int = WIDTH
) -> Path:
    draw = np.random.default_rng(seed)
    logits = 2 * draw.standard_normal((number, classes))
    cls, sent_emb = draw.standard_normal((number, layers + 1, width)), draw.standard_normal((number, width))
    with_dropout = 2 * draw.standard_normal((number, classes))
    mc_probs = np.exp(with_dropout) / np.exp(with_dropout).sum(axis=1, keepdims=True)
    return write_outputs(folder, {"logits": logits, "cls": cls, "sent_emb": sent_emb, "mc_probs": mc_probs})


def opinion(number: int, *, tone: str | None = None) -> dict[str, Any]:
    """A row whose label can be read off one word; rows differ in their other words."""
    tone = tone or ("good", "bad")[number % 2]
    draw = np.random.default_rng(seed_of("opinion", number) % 2**32)
    filler = [WORDS[i] for i in draw.integers(7, len(WORDS), 1 + number % 7)]
    words = [*filler, tone, *filler[:2]]
    return {"text": " ".join(words), "label": "positive" if tone == "good" else "negative", "id": f"o{number}"}


def opinions(folder: Path) -> dict[str, Any]:
    """The section `corpus` of a run on what `save_opinions` wrote."""
    return {
        "name": "folder",
        "path": str(folder),
        "columns": {"id": "id", "label": "label"},
        "fields": [{"name": "text", "role": "body"}],
        "labels": list(LABELS),
    }


def training(epochs: int = 1, **settings: Any) -> dict[str, Any]:
    """The section `train` of a run: it learns the opinions in a few epochs."""
    fixed = {"batch_size": 8, "learning_rate": 3e-3, "max_length": MAX_LENGTH, "precision": "fp32"}
    return {**fixed, "epochs": epochs, **settings}


def teacher(encoder: Path, name: str = "t", *, epochs: int = 1, **settings: Any) -> dict[str, Any]:
    """A list item of the section `teachers` of a run."""
    return {"name": name, "encoder": str(encoder), "train": training(epochs), **settings}


def given_teacher(folder: Path, name: str = "t", *, labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """A teacher that was fine-tuned elsewhere, saved in `folder`; a run only computes its outputs."""
    save_fine_tuned(folder, classifier(seed=0), labels)
    return {"name": name, "encoder": str(folder), "fine_tuned": True, "train": {"max_length": MAX_LENGTH}}


def run_settings(encoder: Path, corpus: Path, /, **sections: Any) -> dict[str, Any]:
    """Settings of a run on what `save_opinions` wrote; a section given here replaces the one of the same name."""
    return {
        "corpus": opinions(corpus),
        "prune": {"policy": "none"},
        "teachers": [teacher(encoder)],
        "outputs": {"quality_check": False},
        "student": {"encoder": str(encoder), "layers": 1},
        "train": training(),
        **sections,
    }


def run_config(encoder: Path, corpus: Path, /, **sections: Any) -> RunConfig:
    """`run_settings`, read as a file is."""
    return parse(run_settings(encoder, corpus, **sections), source="test")


def save_opinions(folder: Path, *, train: int = 48, test: int = 16) -> Path:
    """A folder corpus with the classes negative and positive."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, numbers in (("train", range(train)), ("test", range(1000, 1000 + test))):
        lines = [json.dumps(opinion(number)) for number in numbers]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def ranges_of(rows: int) -> Any:
    """A fixture for all tests of a module: the stages work in parts of so few rows that tiny corpora have several."""

    @pytest.fixture(autouse=True)
    def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resumable_map, "PART_ROWS", rows)

    return small_ranges


@dataclass(frozen=True)
class LastFirst(InProcess):
    """Trains nothing: `result` makes each result of its job and title, and they come in the reverse order."""

    result: Callable[[Any, str], dict[str, Any]] = field(kw_only=True)
    titles: list[str] = field(default_factory=list[str])

    def run_many(
        self, jobs: Any, function: Any, *, titles: Any, cpus: int, gpus: float, store: str | None = None
    ) -> Iterator[tuple[int, Any]]:
        self.titles.extend(titles)
        for number in reversed(range(len(jobs))):
            yield number, self.result(jobs[number], titles[number])
