"""Draws names and numbers for slots. A full name of a person, company or team belongs to one split for good."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from kdray.corpora.sample import words

# One full name in this many is validation's.
VALIDATION_SHARE = 6


@dataclass(frozen=True)
class Name:
    """How evidence (`full`) and hypotheses (`full` or `short`) name one thing; things with one `key` are confusable."""

    full: str
    short: str
    key: str


def draw_name(rng: Random, kind: str, split: str) -> Name:
    """Draws a name of one kind of slot.

    Args:
        rng: the only source of chance.
        kind: "person", "company", "team", "city", "country", a key of `words.NUMBERS` or of `words.THINGS`.
        split: "train" or "validation".
    """
    if kind in _PAIRED:
        return _PAIRED[kind](rng, split)
    if kind in words.NUMBERS:
        low, high, step = words.NUMBERS[kind]
        return _plain(str(rng.randrange(low, high + 1, step)))
    if kind in _PLACES:
        return _plain(rng.choice(_PLACES[kind]))
    return _plain(rng.choice(words.THINGS[kind]))


def _plain(text: str) -> Name:
    return Name(text, text, text)


def _draw_person(rng: Random, split: str) -> Name:
    first, last = _draw_pair(rng, split, words.FIRST_NAMES, words.LAST_NAMES)
    title = rng.choices(list(words.TITLES), list(words.TITLES.values()))[0]
    return Name(
        f"{title} {first} {last}" if title == "Dr." else f"{title} {last}" if title else f"{first} {last}", last, last
    )


def _draw_company(rng: Random, split: str) -> Name:
    stem, suffix = _draw_pair(rng, split, words.COMPANY_STEMS, words.COMPANY_SUFFIXES)
    return Name(f"{stem} {suffix}", stem, stem)


def _draw_team(rng: Random, split: str) -> Name:
    city, nickname = _draw_pair(rng, split, words.CITIES, words.TEAM_NAMES)
    return Name(f"{city} {nickname}", f"{city} {nickname}", city)


def _draw_pair(rng: Random, split: str, firsts: tuple[str, ...], lasts: tuple[str, ...]) -> tuple[str, str]:
    while True:
        first, last = rng.randrange(len(firsts)), rng.randrange(len(lasts))
        is_validation = (first + last) % VALIDATION_SHARE == 0
        if is_validation == (split == "validation"):
            return firsts[first], lasts[last]


_PAIRED = {"person": _draw_person, "company": _draw_company, "team": _draw_team}
_PLACES = {"city": words.CITIES, "country": words.COUNTRIES}
