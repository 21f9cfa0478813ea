"""What cuts a text into sentences: kdray's own rules, the package pysbd, or a function of the user's own."""

import inspect
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib import import_module
from itertools import accumulate
from typing import Any

from kdray.errors import ConfigError, MissingPackage
from kdray.origin import full_name, identity_of, object_of, outside, shown
from kdray.pruning.sentences import sentence_spans

KEY = "prune.splitter"
RULES = "rules"
PYSBD = "pysbd"
ENGLISH = "en"
Spans = list[tuple[int, int]]


def checked(name: str) -> str:
    """The name of a splitter that can be used here; of a function with a hash of its source.

    Raises:
        ConfigError: It is unknown, its package is not installed, or there is no such function.
    """
    if ":" in name:
        if not inspect.isfunction(object_of(name, KEY)):
            raise ConfigError(f"{KEY} = {shown(name)!r} is not a function; name one from a text to its sentences.")
        return full_name(name, KEY)
    package, _, language = name.partition("-")
    if package == PYSBD and (language or name == PYSBD):
        _segmenter(language or ENGLISH)
    elif name != RULES:
        raise ConfigError(
            f"{KEY} = {name!r} is unknown; allowed are rules, pysbd (English), pysbd-LANGUAGE such as pysbd-de, and a "
            "function of your own, my_file.py:NAME."
        )
    return name


def identity(name: str) -> str:
    """The splitter's part of digests: of a function `NAME@HASH`, of pysbd with its version."""
    if ":" in name or name == RULES:
        return identity_of(name)
    return f"{name} {import_module(PYSBD).__version__}"


def spans_by(name: str) -> Callable[[str, str], Spans]:
    """A function of a text, and of what messages call it, that gives sentences as `sentence_spans` does: offsets that
    cover the text without a gap, never an empty list.

    Raises:
        ConfigError: As `checked`; when called, a function of the user's own raised an exception, or gave something else
            than pieces that make up the text.
    """
    if name == RULES:
        return lambda text, _: sentence_spans(text)
    if ":" in name:
        return partial(_own, shown(name), object_of(name, KEY))
    segmenter = _segmenter(name.partition("-")[2] or ENGLISH)
    return lambda text, _: _between([each.start for each in segmenter.segment(text)[1:]], text)


def _own(name: str, split: Callable[[str], Any], text: str, where: str) -> Spans:
    with outside(f"{KEY} {name}, {where}", split):
        found: Any = split(text)
        if isinstance(found, Iterable) and not isinstance(found, str | bytes):
            found = list(found)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ConfigError(f"{KEY} {name} gives no list of texts for {where}; return the sentences as a list.")
    pieces: list[str] = found
    if "".join(pieces) != text:
        raise ConfigError(
            f"{KEY} {name} changes or loses characters of {where}: its sentences, joined without spaces, are not the "
            "text; return pieces of the text with their white space."
        )
    return _between(accumulate(map(len, pieces)), text)


def _between(starts: Iterable[int], text: str) -> Spans:
    """Sentences from each start to the next; white space alone is none, and belongs to its neighbor."""
    spans: Spans = []
    start = 0
    for end in sorted({*starts, len(text)}):
        if text[start:end].strip():
            spans.append((start, end))
            start = end
    if spans and start < len(text):
        spans[-1] = (spans[-1][0], len(text))
    return spans or [(0, len(text))]


@cache
def _segmenter(language: str) -> Any:
    try:
        languages: Any = import_module(f"{PYSBD}.languages")
    except ModuleNotFoundError:
        raise MissingPackage(
            f"{KEY} = {PYSBD} needs a package that is not installed: pip install pysbd (or 'kdray[sentences]')."
        ) from None
    known = sorted(languages.LANGUAGE_CODES)
    if language not in known:
        raise ConfigError(f"{KEY}: pysbd has no language {language!r}; allowed are {', '.join(known)}.")
    return import_module(PYSBD).Segmenter(language=language, clean=False, char_span=True)
