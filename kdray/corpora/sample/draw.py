"""Draws facts, fills their slots and contrasts two pieces of evidence for one hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from kdray.corpora.sample.business_law import BUSINESS, LAW
from kdray.corpora.sample.culture_life import CULTURE, LIFE
from kdray.corpora.sample.facts import Fact, is_lasting, slots_of
from kdray.corpora.sample.names import Name, draw_name
from kdray.corpora.sample.politics_weather import POLITICS, WEATHER
from kdray.corpora.sample.sport_science import SCIENCE, SPORT
from kdray.corpora.sample.words import DAYS, MONTHS, NUMBERS

FACTS = BUSINESS + LAW + POLITICS + WEATHER + SPORT + SCIENCE + CULTURE + LIFE
# Shares of the not-entailed kinds. Three layers learn from 2,400 rows which evidence is unrelated; six begin to learn
# numbers. Polarity and roles are the rows that most models fail on.
KIND_WEIGHTS = {"unrelated": 83, "negation": 5, "number": 10, "swap": 2}
# How often a hypothesis keeps a date, evidence has one that the hypothesis drops, a date stands in front,
# a distractor states the same facts about other names.
DATED_HYPOTHESIS, DATED_EVIDENCE, FRONTED_DATE, LIKE_EVIDENCE = 0.2, 0.15, 0.25, 0.05
# Unrelated evidence states the same about something else, something else of the same name, or neither.
SAME_FACT, SAME_NAME = 0.1, 0.1
# How often a fact holds. Contraries are rarer than facts, as in prose, so denying evidence leans to not_entailment.
HOLDS = 0.85


@dataclass(frozen=True)
class Contrast:
    """One hypothesis, a sentence that entails it, and another that does not. `keys` name whatever they speak of."""

    hypothesis: str
    entailing: str
    other: str
    kind: str
    entailing_fact: Fact
    other_fact: Fact
    keys: frozenset[str]


@dataclass(frozen=True)
class _Scene:
    """A fact with its slots filled, whether it holds, and when ("" for no date)."""

    fact: Fact
    names: dict[str, Name]
    holds: bool
    when: str


def draw_contrast(rng: Random, split: str) -> Contrast:
    """Draws a kind, then a fact that can show it."""
    kind = rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()))[0]
    while True:
        contrast = _try_contrast(rng, split, kind)
        if contrast is not None:
            return contrast


def draw_distractor(rng: Random, split: str, evidence: Fact) -> tuple[str, frozenset[str]]:
    """A sentence of the evidence's domain and the keys of what it names; now and then it states the same fact."""
    is_like = rng.random() < LIKE_EVIDENCE
    fact = evidence if is_like else rng.choice([fact for fact in FACTS if fact.domain == evidence.domain])
    scene = _maybe_date(rng, _draw_scene(rng, split, fact))
    template = rng.choice(fact.evidence(holds=scene.holds))
    return _tell(rng, scene, template), _keys(scene)


def _try_contrast(rng: Random, split: str, kind: str) -> Contrast | None:
    scene = _draw_scene(rng, split, rng.choice(FACTS))
    conclusion = rng.choice(scene.fact.conclusions(holds=scene.holds))
    if not is_lasting(conclusion) and rng.random() < DATED_HYPOTHESIS:
        scene = replace(scene, when=_draw_date(rng))
    other = _ALTER[kind](rng, split, scene, conclusion)
    if other is None:
        return None
    entailing = _pick_evidence(rng, scene, needs=slots_of(conclusion))
    against = _pick_evidence(rng, other, needs=_slots_to_show(scene, other, conclusion))
    if entailing is None or against is None:
        return None
    return Contrast(
        hypothesis=_conclude(rng, scene, conclusion),
        entailing=_tell(rng, _maybe_date(rng, scene), entailing),
        other=_tell(rng, _maybe_date(rng, other), against),
        kind=kind,
        entailing_fact=scene.fact,
        other_fact=other.fact,
        keys=_keys(scene) | _keys(other),
    )


def _alter_unrelated(rng: Random, split: str, scene: _Scene, conclusion: str) -> _Scene | None:
    chance = rng.random()
    if chance < SAME_FACT:
        changeable = sorted(slot for slot in slots_of(conclusion) if scene.fact.slots[slot] not in NUMBERS)
        return _redraw(rng, split, scene, rng.choice(changeable))
    fact = rng.choice([fact for fact in FACTS if fact.domain != scene.fact.domain])
    other = _draw_scene(rng, split, fact)
    if _keys(other) & _keys(scene):
        return None
    return _share_name(rng, scene, other, conclusion) if chance < SAME_FACT + SAME_NAME else other


def _share_name(rng: Random, scene: _Scene, other: _Scene, conclusion: str) -> _Scene | None:
    """`other` with one name of the conclusion in place of one of the same kind; None if they have no kind in common."""
    slots = [
        (slot, concluded)
        for slot, kind in other.fact.slots.items()
        for concluded in sorted(slots_of(conclusion))
        if kind == scene.fact.slots[concluded] and kind not in NUMBERS
    ]
    if not slots:
        return None
    slot, concluded = rng.choice(slots)
    return replace(other, names={**other.names, slot: scene.names[concluded]})


def _alter_negation(rng: Random, split: str, scene: _Scene, conclusion: str) -> _Scene | None:
    return replace(scene, holds=not scene.holds) if scene.fact.denies else None


def _alter_number(rng: Random, split: str, scene: _Scene, conclusion: str) -> _Scene | None:
    """Another number, or another date where the hypothesis has one."""
    numbers = sorted(slot for slot in slots_of(conclusion) if scene.fact.slots[slot] in NUMBERS)
    if scene.when and (not numbers or rng.random() < 0.5):
        return replace(scene, when=_draw_other_date(rng, scene.when))
    return _redraw(rng, split, scene, numbers[0]) if numbers else None


def _alter_swap(rng: Random, split: str, scene: _Scene, conclusion: str) -> _Scene | None:
    if not scene.fact.swap or not {"a", "b"} <= slots_of(conclusion):
        return None
    return replace(scene, names={**scene.names, "a": scene.names["b"], "b": scene.names["a"]})


_ALTER = {"unrelated": _alter_unrelated, "negation": _alter_negation, "number": _alter_number, "swap": _alter_swap}


def _draw_scene(rng: Random, split: str, fact: Fact) -> _Scene:
    names: dict[str, Name] = {}
    for slot, kind in fact.slots.items():
        name = draw_name(rng, kind, split)
        while name.key in {other.key for other in names.values()}:
            name = draw_name(rng, kind, split)
        names[slot] = name
    holds = not fact.denies or rng.random() < HOLDS
    return _Scene(fact, names, holds, when="")


def _redraw(rng: Random, split: str, scene: _Scene, slot: str) -> _Scene:
    name = draw_name(rng, scene.fact.slots[slot], split)
    while name.key in _keys(scene):
        name = draw_name(rng, scene.fact.slots[slot], split)
    return replace(scene, names={**scene.names, slot: name})


def _keys(scene: _Scene) -> frozenset[str]:
    return frozenset(name.key for name in scene.names.values())


def _draw_date(rng: Random) -> str:
    return f"on {rng.choice(DAYS)}" if rng.random() < 0.6 else f"in {rng.choice(MONTHS)}"


def _draw_other_date(rng: Random, when: str) -> str:
    dates = DAYS if when.startswith("on ") else MONTHS
    return when[:3] + rng.choice([date for date in dates if date != when[3:]])


def _maybe_date(rng: Random, scene: _Scene) -> _Scene:
    """Evidence may have a date that the hypothesis drops."""
    return scene if scene.when or rng.random() >= DATED_EVIDENCE else replace(scene, when=_draw_date(rng))


def _pick_evidence(rng: Random, scene: _Scene, *, needs: frozenset[str]) -> str | None:
    """A template that mentions all of `needs` and can carry the scene's date; None if there is none."""
    templates = scene.fact.evidence(holds=scene.holds)
    fitting = [t for t in templates if needs <= slots_of(t) and not (scene.when and is_lasting(t))]
    return rng.choice(fitting) if fitting else None


def _slots_to_show(scene: _Scene, other: _Scene, conclusion: str) -> frozenset[str]:
    """What the other evidence must mention: of the same fact all that is concluded, of another the shared names."""
    if other.fact is scene.fact:
        return slots_of(conclusion)
    concluded = {scene.names[slot].key for slot in slots_of(conclusion)}
    return frozenset(slot for slot, name in other.names.items() if name.key in concluded)


def _tell(rng: Random, scene: _Scene, template: str) -> str:
    clause = template.removeprefix("=").format(**{slot: name.full for slot, name in scene.names.items()})
    return _sentence(rng, replace(scene, when="") if is_lasting(template) else scene, clause)


def _conclude(rng: Random, scene: _Scene, template: str) -> str:
    names = {slot: name.full if rng.random() < 0.5 else name.short for slot, name in scene.names.items()}
    return _sentence(rng, scene, template.removeprefix("=").format(**names))


def _sentence(rng: Random, scene: _Scene, clause: str) -> str:
    if scene.when:
        has_front = clause.startswith("in ") or rng.random() >= FRONTED_DATE
        clause = f"{clause} {scene.when}" if has_front else f"{scene.when}, {clause}"
    return clause[0].upper() + clause[1:] + ("" if clause.endswith(".") else ".")
