"""A small corpus of tagged words, which a tiny encoder learns: `good` begins a film, `bad` begins a person."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny

TYPES = ("FILM", "PER")
FILLER = ("the", "was", "very", "it")


def sentence(number: int) -> dict[str, Any]:
    """Three to nine words, with one or two entities of one or two words; `good-film` is a word of three tokens."""
    tokens: list[str] = []
    tags: list[str] = []
    for part in range(1 + number % 2):
        tokens += [FILLER[(number + part + i) % 4] for i in range(1 + (number // 2 + part) % 3)]
        tags += ["O"] * (len(tokens) - len(tags))
        kind, first = (("FILM", "good"), ("PER", "bad"), ("FILM", "good-film"))[(number // 3 + part) % 3]
        tokens += [first, *(["film"] if number % 5 < 3 else [])]
        tags += [f"B-{kind}", *([f"I-{kind}"] if number % 5 < 3 else [])]
    return {"id": f"s{number}", "tokens": [*tokens, "a"], "tags": [*tags, "O"]}


def save(folder: Path, *, train: int = 96, test: int = 24, rows: Mapping[str, Mapping[int, Any]] | None = None) -> Path:
    """
    Args:
        rows: By split and number, what replaces single rows.
    """
    folder.mkdir(parents=True)
    for split, numbers in (("train", range(train)), ("validation", range(500, 524)), ("test", range(900, 900 + test))):
        own = (rows or {}).get(split, {})
        found = [own.get(at, sentence(number)) for at, number in enumerate(numbers)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return folder


def section(folder: Path, **own: Any) -> dict[str, Any]:
    """The section `corpus` of a run."""
    columns = {"id": "id", "label": "tags"}
    plain = {"name": "folder", "path": str(folder), "task": "token_classification", "labels": TYPES, "columns": columns}
    return plain | {"fields": [{"name": "tokens", "role": "body"}]} | own


def settings(encoder: Path, folder: Path, /, **sections: Any) -> dict[str, Any]:
    teachers = [tiny.teacher(encoder, name, epochs=4) for name in ("one",)]
    plain = {"teachers": teachers, "student": {"encoder": str(encoder), "layers": 2}, "train": tiny.training(3)}
    return tiny.run_settings(encoder, folder, **{**plain, "corpus": section(folder), **sections})
