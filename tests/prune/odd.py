"""Odd texts, stand-ins for a model's embeddings, and methods.md 3.2 to 3.7 once more, written from its text alone."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import strategies as st

from kdray.pruning import Fit, PruneSettings, fit, part_maps, units_at
from kdray.pruning.importance import TermCounts

Floats = npt.NDArray[np.float64]
Row = tuple[str, str, int]
Layout = list[tuple[str, Literal["body", "context", "query", "pair"]]]

ONE: Layout = [("text", "body")]
TWO: Layout = [("text", "context"), ("question", "query")]
PAIR: Layout = [("text", "pair"), ("question", "pair")]

PIECES = [
    *(
        "cat",
        "a",
        "The dog ate",
        "naïve",
        "İstanbul",
        "日本語",
        "猫。",
        "！」",
        "ไทย",
        "3．5",
        "क।",
        "42",
        "mr.",
        "e.g.",
        "U.S.",
        "...",
        ". .",
        '"Yes."',
    ),
    *("cat. ", "Why? ", "Dogs bark! ", "fish).\n", "x. ", ".", "?!", " ", "\t", "\n", "\r", "\r\n", "\x0b", "\x85"),
    *("\u2028", "\u00a0", "\u200b", "\ufeff", "\x00", "\x00.", "😀", "👩‍👩‍👧. ", "e\u0301", "\u202e", "\uffff", "_"),
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.text(max_size=20))
SPLITTABLE: Row = ("One cat sat on the big mat. Yes. A dog met the fish, the cat and the mat.", "Who sat? I did.", 0)
ROWS = st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 2)), min_size=1, max_size=7)
TABLES = st.permutations([SPLITTABLE, ("", "\x00", 1), ("word", "😀", 1)]).flatmap(
    lambda fixed: ROWS.map(lambda rows: make([*rows[:3], *fixed, *rows[3:]]))
)

# Each about 100 kB of UTF-8. Few of them have so many sentences that all pairs would take long.
LARGE = {
    "one word": "a" * 100_000,
    "one sentence": "ab cd " * 16_667,
    "paragraphs": ("The cat ate a fish on the mat " * 33 + "then left. ") * 100,
    "short sentences": "Ab cd. \r\n" * 11_111,
    "stops": "." * 100_000,
    "loose stops": ". " * 50_000,
    "ellipses": "so ... " * 14_286,
    "abbreviations": "e.g. " * 20_000,
    "line ends": "\r\n\n\r" * 25_000,
    "NUL": "\x00" * 100_000,
    "emoji": "😀" * 25_000,
    "closing quotes": 'a.")' * 25_000,
}


def originals(decisions: pa.Table) -> pa.Table:
    """The texts before pruning: ``id``, ``field`` and ``text``, from decisions alone."""
    texts: dict[tuple[str, str], list[str]] = {}
    for name, field, text in zip(*(decisions[column].to_pylist() for column in ("id", "field", "text")), strict=True):
        texts.setdefault((name, field), []).append(text)
    keys = list(texts)
    joined = ["".join(parts) for parts in texts.values()]
    columns = {"id": [name for name, _ in keys], "field": [field for _, field in keys], "text": joined}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def make(rows: Sequence[Row], ids: list[str] | None = None) -> pa.Table:
    """A table of rows, called r0, r1 and so on."""
    texts, questions, labels = (list(column) for column in zip(*rows, strict=True))
    return pa.table(
        {"id": ids or [f"r{i}" for i in range(len(rows))], "text": texts, "question": questions, "label": labels}
    )


def counted_apart(*texts: list[str]) -> TermCounts:
    """The counts of texts that lie in several parts, added up."""
    tables = [part_maps.counts()(pa.table({"text": pa.array(part, pa.string())})) for part in texts]
    return part_maps.counted(tables, sum(map(len, texts)))


def chosen(policy: Any, level: str, layout: Layout = ONE, **more: Any) -> PruneSettings:
    """Settings in which nothing is ignored."""
    if policy == "none":
        return PruneSettings.model_validate({"policy": policy})
    pairs = {"prune_pairs": True} if layout is PAIR and level == "sentence" else {}
    return PruneSettings.model_validate({"policy": policy, "level": level} | pairs | more)


def embeddings_of(texts: Sequence[str], seed: int) -> list[Floats]:
    """Two teachers of different widths: small whole numbers by text, so that equal ones, ties and zeros are common."""
    draws = [np.random.default_rng([seed, crc32(text.encode())]) for text in texts]
    return [
        np.array([draw.integers(-1, 2, width) for draw in draws], np.float64).reshape(-1, width) for width in (2, 3)
    ]


def fitted(table: pa.Table, settings: PruneSettings, level: Any, layout: Layout = ONE, seed: int = 0) -> Fit:
    """Fit, with stand-ins for embeddings where the settings ask for some."""
    units = units_at(table, layout, settings, level=level)
    vectors = embeddings_of(units["text"].to_pylist(), seed) if settings.needs_embeddings else []
    return fit(units, vectors, settings, level=level)


def raw_strings(values: list[bytes]) -> pa.Array:
    """A column that says it is text but holds any bytes, as a parquet file may."""
    return pa.array(values, pa.binary()).view(pa.string())


# ---- methods.md, Appendix A

KNOWN = re.compile(
    r"mr|mrs|ms|dr|prof|st|sr|jr|inc|co|corp|ltd|vs|etc|gen|gov|sen|rep|no|fig|al|e\.g|i\.e|u\.s|u\.k|u\.n|"
    r"ca|approx|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec"
)
ELSEWHERE = "\u3002\uff61\uff0e\uff01\uff1f\u0964\u0965\u061f\u06d4\u0589\u1362\u1367\u104b\u17d4\u17d5"
END = re.compile(rf'[.!?{ELSEWHERE}]+["\'\u201d\u2019)\]\u300d\u300f\uff09\u3011\u300b\u3009]*')
NO_SPACES = (
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u3096\u30a1-\u30fc\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)


def _cuts(text: str) -> list[int]:
    cuts: list[int] = []
    for found in END.finditer(text):
        stops = re.match(rf"[.!?{ELSEWHERE}]+", found.group())
        assert stops
        before, after = text[: found.start()], text[found.end() : found.end() + 2]
        if set(stops.group()) & set(ELSEWHERE):
            if not (stops.group() == "\uff0e" and before[-1:].isdecimal() and after[:1].isdecimal()):
                cuts.append(found.end())
            continue
        if after and not after[0].isspace():
            continue
        words = re.search(r"(\S*)$", before)
        assert words
        word = words.group(1).lower().lstrip("(\"'[")
        if stops.group().startswith(".."):
            continue
        if stops.group() == "." and (
            re.match(r"\s\.", after)
            or before[-2:].strip() == "."
            or KNOWN.fullmatch(word)
            or re.fullmatch(r"[a-z]|([a-z]\.)+[a-z]", word)
        ):
            continue
        cuts.append(found.end())
    return cuts


def reference_spans(text: str) -> list[tuple[int, int]]:
    """The reference splitter."""
    spans: list[tuple[int, int]] = []
    start = 0
    for cut in _cuts(text):
        end = cut
        while end < len(text) and text[end].isspace():
            end += 1
        if re.search(r"\w", text[start:end]):
            spans.append((start, end))
            start = end
    if start < len(text):
        if spans and not re.search(r"\w", text[start:]):
            spans[-1] = (spans[-1][0], len(text))
        else:
            spans.append((start, len(text)))
    return spans or [(0, len(text))]


# ---- methods.md, 3.5 and 3.6


def reference_importance(texts: Sequence[str]) -> Floats:
    """Importance of the units of the split that is fitted."""
    bags = [_words(text.lower()) for text in texts]
    terms = sorted({term for bag in bags for term in bag})
    counts = np.array([[bag.count(term) for term in terms] for bag in bags], np.float64).reshape(len(bags), len(terms))
    vectors = counts * (np.log((1 + len(bags)) / (1 + (counts > 0).sum(0))) + 1)
    lengths = np.sqrt((vectors**2).sum(1))
    scores = vectors.sum(1) / np.where(lengths == 0, 1, lengths)
    span = scores.max() - scores.min()
    return np.ones(len(bags)) if span < 1e-9 else (scores - scores.min()) / span


def _words(text: str) -> list[str]:
    found = re.findall(r"\b\w\w+\b", "".join(" " if re.fullmatch(NO_SPACES, each) else each for each in text))
    for run in re.findall(f"{NO_SPACES}+", text):
        found += [run] if len(run) == 1 else ["".join(pair) for pair in pairwise(run)]
    return found


def reference_threshold(name: str, importance: Floats) -> float:
    """The threshold as the table of policies gives it; `match_rate` has none there."""
    if name in ("literal", "literal_centers"):
        survivors = importance[importance >= np.percentile(importance, 80) - 1e-9]
        return float(survivors.mean() + 0.5 * survivors.std())
    if name == "lower_tail":
        return float(importance.mean() - 0.5 * importance.std())
    return float(np.percentile(importance, 20)) if name == "bottom_quintile" else -np.inf
