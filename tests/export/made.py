"""A tiny trained classifier, in seconds: a BERT of one layer that reads a label off one word, with wide margins."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import tagged
import tiny
import torch

from kdray.export import predict
from kdray.export.evidence import Evidence, evidence_for
from kdray.export.trained import Reading, TrainedModel
from kdray.models import load_tokenizer, save_classifier
from kdray.pruning import Pruner, PruneSettings, fit, units_of
from kdray.tasks import tags_of

TEXTS = [tiny.opinion(number)["text"] for number in range(60)]
LABELS = [tiny.opinion(number)["label"] for number in range(60)]
SENTENCES = [tagged.sentence(number) for number in range(60)]
TAGGED = {"tokens": [each["tokens"] for each in SENTENCES], "label": [each["tags"] for each in SENTENCES]}


def reading(**changes: Any) -> Reading:
    plain = {
        "labels": tiny.LABELS,
        "fields": ("text",),
        "prunable": ("text",),
        "max_length": tiny.MAX_LENGTH,
        "precision": "fp32",
        "task": "single_label",
        "metrics": ("accuracy",),
    }
    return Reading.model_validate({**plain, **changes})


def trained(folder: Path, *, steps: int = 60) -> TrainedModel:
    """Trained on the texts above; without steps its scores are random."""
    model: Any = tiny.classifier(seed=3, layers=1).train()
    tiny.save_fine_tuned(folder / "first", model, tiny.LABELS)
    tokenizer = load_tokenizer(folder / "first", model)
    rows = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    labels = torch.tensor([tiny.LABELS.index(each) for each in LABELS])
    _descend(model, lambda: torch.nn.functional.cross_entropy(model(**rows).logits, labels), steps)
    save_classifier(model, tokenizer, folder / "model", max_length=tiny.MAX_LENGTH)
    return TrainedModel(folder / "model", reading(), {})


def trained_on_tags(folder: Path, *, steps: int = 80) -> TrainedModel:
    """Trained on all tokens of the tagged sentences above."""
    tags = tags_of(tagged.TYPES)
    model: Any = tiny.token_classifier(seed=3, layers=1, classes=len(tags)).train()
    tiny.save_fine_tuned(folder / "first", model, tags)
    tokenizer = load_tokenizer(folder / "first", model)
    batch: Any = tokenizer(TAGGED["tokens"], is_split_into_words=True, padding=True, return_tensors="pt")
    targets = torch.full(batch["input_ids"].shape, -100)
    for row, named in enumerate(TAGGED["label"]):
        for token, word in enumerate(batch.word_ids(row)):
            targets[row, token] = -100 if word is None else tags.index(named[word])
    rows = dict(batch)
    _descend(model, lambda: torch.nn.functional.cross_entropy(model(**rows).logits.mT, targets), steps)
    save_classifier(model, tokenizer, folder / "model", max_length=tiny.MAX_LENGTH)
    return TrainedModel(folder / "model", tag_reading(), {})


def tag_reading(**changes: Any) -> Reading:
    plain = {"labels": tags_of(tagged.TYPES), "fields": ("tokens",), "prunable": (), "task": "token_classification"}
    return reading(**{**plain, "metrics": ("entity_f1",), **changes})


def _descend(model: Any, loss: Callable[[], Any], steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def rows_file(file: Path, **columns: Sequence[Any]) -> Path:
    """JSON Lines of the texts above; other columns on request."""
    columns = columns or {"text": TEXTS, "label": LABELS}
    lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    file.write_text("\n".join(lines) + "\n")
    return file


def evidence(model: TrainedModel, folder: Path, **columns: Sequence[Any]) -> Evidence:
    return evidence_for(model, rows_file(folder / "rows.jsonl", **columns))


def change(folder: Path, **values: Any) -> None:
    """Other values in `bundle.json` of a bundle, with the hashes of its files as they are now."""
    about = json.loads((folder / "bundle.json").read_text()) | values
    about |= {} if "files" in values else {"files": {name: predict.sha256_of(folder / name) for name in about["files"]}}
    (folder / "bundle.json").write_text(json.dumps(about | {"digest": predict.digest_of(about)}))


def pruner() -> Pruner:
    """Fitted on texts of several sentences."""
    texts = [f"{a} It was a film. {b} very very" for a, b in zip(TEXTS, reversed(TEXTS), strict=True)]
    table = pa.table({"id": range(len(texts)), "text": texts})
    settings = PruneSettings.model_validate({"policy": "lower_tail", "keep_medoids": "none", "level": "sentence"})
    return fit(units_of(table, ["text"]), [], settings, level="sentence").pruner
