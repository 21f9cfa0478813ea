"""The sentence splitter: rule based and deterministic.

It needs no capital letters, because SST-2 has none. Offsets count Unicode code points, as Python strings do. A Latin
stop ends a sentence where white space follows; the stops of other scripts do so anywhere, because Chinese and Japanese
have no spaces. Thai has no stops, and is not split.
"""

import re
from collections.abc import Iterator

SPLITTER_VERSION = 2  # raise it with any change of behavior: saved pruners of another version are refused

_OTHER_STOPS = "。｡．！？।॥؟۔։።፧။។៕"  # of full width, Devanagari, Arabic, Urdu, Armenian, Ethiopic, Burmese, Khmer
_STOP = re.compile(rf"""[.!?{_OTHER_STOPS}]+(?P<closers>["'\u201d\u2019)\]」』）】》〉]*)""")
_SPACES = re.compile(r"\s*")
_WORD_CHARACTER = re.compile(r"\w")
_INITIALS = re.compile(r"[a-z](\.[a-z])*")
_TITLES = {"mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "gen", "gov", "sen", "rep"}
_MONTHS = {"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"}
_SHORT_WORDS = {"inc", "co", "corp", "ltd", "vs", "etc", "no", "fig", "al", "ca", "approx"}
_ABBREVIATIONS = _TITLES | _MONTHS | _SHORT_WORDS


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Split a text into sentences: ``(start, end)`` offsets that cover it without a gap, never an empty list.

    White space after a sentence belongs to it. A piece without a word character joins its neighbor.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _cuts(text):
        if _WORD_CHARACTER.search(text, start, end):
            spans.append((start, end))
            start = end
    if start == len(text) and spans:
        return spans
    if spans and not _WORD_CHARACTER.search(text, start):
        start, _ = spans.pop()
    return [*spans, (start, len(text))]


def _cuts(text: str) -> Iterator[int]:
    for stop in _STOP.finditer(text):
        at_end = stop.end() == len(text) or text[stop.end()].isspace()
        if _is_other(text, stop) or (at_end and _ends_sentence(text, stop)):
            spaces = _SPACES.match(text, stop.end())
            assert spaces is not None
            yield spaces.end()


def _is_other(text: str, stop: re.Match[str]) -> bool:
    """Whether the stop is of another script, but for a full-width point between digits."""
    run = text[stop.start() : stop.start("closers")]
    if run == "．" and text[max(0, stop.start() - 1)].isdecimal():
        return not text[stop.end() : stop.end() + 1].isdecimal()
    return any(mark in _OTHER_STOPS for mark in run)


def _ends_sentence(text: str, stop: re.Match[str]) -> bool:
    run = text[stop.start() : stop.start("closers")]
    if run.startswith(".."):
        return False
    if run != ".":
        return True
    if _is_spaced_ellipsis(text, stop.start(), stop.end()):
        return False
    word = _word_before(text, stop.start()).lower().lstrip("(\"'[")
    return word not in _ABBREVIATIONS and not _INITIALS.fullmatch(word)


def _is_spaced_ellipsis(text: str, start: int, end: int) -> bool:
    follows = text[end : end + 1].isspace() and text[end + 1 : end + 2] == "."
    precedes = start >= 2 and text[start - 1].isspace() and text[start - 2] == "."
    return follows or precedes


def _word_before(text: str, end: int) -> str:
    if text[end - 1 : end] == "\n":  # a full stop wrapped onto the next line still belongs to its word
        end -= 1
    start = end
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    return text[start:end]
