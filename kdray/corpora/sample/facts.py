"""What the sample can say: `Fact`, one family of sentences that mean the same or the contrary.

Entailment holds by construction: every sentence of `says` entails every sentence of `then` whose slots it mentions, and
every sentence of `denies` entails every sentence of `not_then`; `says` and `not_then` exclude each other, and so do
`denies` and `then`. A template that starts with "=" states a lasting condition, so no date may be attached to it.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fact:
    """One family of sentences. `slots` maps a slot's letter to a kind of `words`; `swap` means that exchanging {a} and
    {b}, which are then of one kind, makes another statement that neither implies nor repeats the first."""

    domain: str
    slots: dict[str, str]
    says: tuple[str, ...]
    then: tuple[str, ...]
    denies: tuple[str, ...] = field(default=())
    not_then: tuple[str, ...] = field(default=())
    swap: bool = False

    def evidence(self, *, holds: bool) -> tuple[str, ...]:
        """The templates of evidence sentences that say the fact (`holds`) or its contrary."""
        return self.says if holds else self.denies

    def conclusions(self, *, holds: bool) -> tuple[str, ...]:
        """The templates of hypotheses that follow from `evidence(holds=holds)`."""
        return self.then if holds else self.not_then


def slots_of(template: str) -> frozenset[str]:
    """The slot letters that a template mentions."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)


def is_lasting(template: str) -> bool:
    """Whether the template states a lasting condition, to which no date may be attached."""
    return template.startswith("=")
