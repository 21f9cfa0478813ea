"""Writes the sample corpus: `python -m kdray.corpora.sample.generate` makes train.parquet and validation.parquet again.

Rows come in pairs: one hypothesis with two premises, one that entails it and one that does not. So the hypothesis says
nothing about the label, whatever words it has. Validation is drawn first; train then avoids each of its sentences, and
the full names of people, companies and teams of one split never occur in the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from kdray.corpora.sample.draw import Contrast, draw_contrast, draw_distractor

NUM_PAIRS = {"validation": 150, "train": 1200}
SEED = 20260
SENTENCE_COUNTS = (1, 2, 3, 4)
SENTENCE_WEIGHTS = (60, 24, 11, 5)
ENTAILMENT, NOT_ENTAILMENT = 0, 1
SCHEMA = pa.schema([("sentence1", pa.string()), ("sentence2", pa.string()), ("label", pa.int64()), ("idx", pa.int64())])


@dataclass(frozen=True)
class Example:
    """One row with what the parquet does not tell.

    `sentences` are the premise's, `evidence` is the index of the only one that speaks of the hypothesis, `kind` is
    "paraphrase" where the row is entailed, otherwise "unrelated", "negation", "number" or "swap".
    """

    sentences: tuple[str, ...]
    evidence: int
    hypothesis: str
    label: int
    kind: str
    pair: int

    @property
    def premise(self) -> str:
        """The premise's text."""
        return " ".join(self.sentences)


def generate_examples() -> dict[str, list[Example]]:
    """All examples of both splits, in the order of the files. The same on every call and machine."""
    taken: set[str] = set()
    return {split: _generate_split(split, num_pairs, taken) for split, num_pairs in NUM_PAIRS.items()}


def to_table(examples: list[Example]) -> pa.Table:
    """The four columns of the parquet file, `idx` counting from 0."""
    columns = [
        [example.premise for example in examples],
        [example.hypothesis for example in examples],
        [example.label for example in examples],
        list(range(len(examples))),
    ]
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def write_sample(folder: Path) -> None:
    """Writes `train.parquet` and `validation.parquet` into an existing folder."""
    for split, examples in generate_examples().items():
        pq.write_table(to_table(examples), folder / f"{split}.parquet", compression="zstd", compression_level=19)


def _generate_split(split: str, num_pairs: int, taken: set[str]) -> list[Example]:
    """`taken` holds every sentence used so far, by either split; it grows, so no sentence is ever used twice."""
    rng = Random(f"{SEED}/{split}")
    examples: list[Example] = []
    for pair in range(num_pairs):
        contrast = _fresh_contrast(rng, split, taken)
        taken.update((contrast.hypothesis, contrast.entailing, contrast.other))
        for label in (ENTAILMENT, NOT_ENTAILMENT):
            examples.append(_build_example(rng, split, contrast, label, pair, taken))
    rng.shuffle(examples)
    return examples


def _fresh_contrast(rng: Random, split: str, taken: set[str]) -> Contrast:
    while True:
        contrast = draw_contrast(rng, split)
        texts = {contrast.hypothesis, contrast.entailing, contrast.other}
        if len(texts) == 3 and not texts & taken:
            return contrast


def _build_example(rng: Random, split: str, contrast: Contrast, label: int, pair: int, taken: set[str]) -> Example:
    is_entailed = label == ENTAILMENT
    evidence = contrast.entailing if is_entailed else contrast.other
    fact = contrast.entailing_fact if is_entailed else contrast.other_fact
    num_sentences = rng.choices(SENTENCE_COUNTS, SENTENCE_WEIGHTS)[0]
    used = set(contrast.keys)
    sentences: list[str] = []
    while len(sentences) < num_sentences - 1:
        text, keys = draw_distractor(rng, split, fact)
        if text in taken or keys & used:
            continue
        taken.add(text)
        used |= keys
        sentences.append(text)
    position = rng.randrange(num_sentences)
    sentences.insert(position, evidence)
    kind = "paraphrase" if is_entailed else contrast.kind
    return Example(tuple(sentences), position, contrast.hypothesis, label, kind, pair)


if __name__ == "__main__":
    write_sample(Path(__file__).parent)
