"""Saved pruners, damaged, and odd texts: a pruner that loads is the one that was saved, and it only leaves out."""

import json
import random
from pathlib import Path

import fuzzing
import pyarrow as pa
import pytest

from kdray.errors import ConfigError
from kdray.pruning import Pruner, PruneSettings, fit, units_of
from kdray.pruning.sentences import sentence_spans
from kdray.utf8 import is_text

pytestmark = pytest.mark.fuzz

TEXTS = [
    "A film. It was a good film, and it was long. Yes. He said so.",
    "Nothing at all. The film was bad! Was it? It was.",
    "Prof. Ünï wrote of it. It rains. It rains. Dr. No came, etc. and left.",
]
PIECES = [
    *TEXTS,
    *fuzzing.ODD_TEXTS,
    ". ",
    "! ",
    "?\n",
    "… ",
    "a. ",
    "co. ",
    "\r\n",
    "\u2028",
    "e\u0301. ",
    '()" ',
    "the film ",
]


@pytest.fixture
def pruner() -> Pruner:
    table = pa.table({"id": range(len(TEXTS)), "text": TEXTS, "label": [0, 1, 0]})
    settings = PruneSettings(keep_medoids="none", level="sentence")
    return fit(units_of(table, ["text"]), [], settings, level="sentence").pruner


def test_saved_pruners(pruner: Pruner, tmp_path: Path) -> None:
    pruner.save(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()

    def case(draw: random.Random) -> None:
        if draw.random() < 0.5:
            path.write_bytes(fuzzing.damaged(draw, whole))
        else:
            path.write_text(json.dumps(fuzzing.changed(draw, json.loads(whole))))
        assert Pruner.load(tmp_path) == pruner

    fuzzing.run_cases("saved pruners", case)


def test_texts(pruner: Pruner) -> None:
    def case(draw: random.Random) -> None:
        texts = ["".join(draw.choices(PIECES, k=draw.randrange(8))) for _ in range(draw.randrange(4))]
        if not all(map(is_text, texts)):
            with pytest.raises(ConfigError, match="Unicode"):
                pruner.prune(texts)
            return
        for text, short in zip(texts, pruner.prune(texts), strict=True):
            sentences = iter([text[start:end].strip() for start, end in sentence_spans(text)])
            left = [short[start:end].strip() for start, end in sentence_spans(short)]
            assert short == text or all(one in sentences for one in left), (text, short)
            assert bool(short) == bool(text)

    fuzzing.run_cases("texts", case)
