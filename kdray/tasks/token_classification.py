"""Token classification: a BIO tag for each word of a row; scores count whole entities.

The number of a tag holds its meaning: 0 is `O`, 2k + 1 is `B-` and 2k + 2 is `I-` of entity type k.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from kdray.errors import ConfigError
from kdray.tasks.entities import NO_ENTITIES, entity_scores
from kdray.tasks.metrics import Predictions, Target
from kdray.tasks.single_label import wide
from kdray.tasks.task import LabelError

NO_WORD = -100  # a target behind the end of a row, and in rows without tags
OUTSIDE = "O"
_PREFIXED = re.compile(r"(?P<prefix>[BIESMLUW])-(?P<kind>.+)", re.DOTALL)
_LAST, _SINGLE = frozenset("EL"), frozenset("SUW")  # of BIOES, BILOU and BMES


@dataclass(frozen=True)
class TokenClassification:
    """Targets are tag numbers, int64 [rows, words]; `NO_WORD` behind the end of a row, and in all of an untagged one.

    Model outputs are [rows, words, tags]; NaN marks words that a model did not read, which are predicted `O`.
    """

    name: str = "token_classification"
    target: Target = "tags"
    metrics: tuple[str, ...] = ("entity_f1",)
    always: tuple[str, ...] = ("entity_f1", "entity_macro_f1")
    problem_type: str = "single_label_classification"
    outputs: tuple[str, ...] = ()
    class_scores: bool = True

    def read(self, values: pa.ChunkedArray, labels: Sequence[str]) -> pa.Array:
        """Lists of tags or of their numbers; null is a row without tags. IOB1, BIOES, BILOU and BMES become BIO."""
        if not pa.types.is_list(values.type) and not pa.types.is_large_list(values.type):
            raise LabelError(0, values[0].as_py(), f"lists with one of {', '.join(labels)} for each token")
        rows: list[list[Any] | None] = values.to_pylist()
        if pa.types.is_integer(values.type.value_type):
            rows = [_named(row, tags, labels) for row, tags in enumerate(rows)]
        rows = _as_bio(rows)
        return pa.array([_numbers(row, tags, labels) for row, tags in enumerate(rows)], pa.list_(pa.int64()))

    def targets(self, stored: pa.ChunkedArray, labels: Sequence[str]) -> np.ndarray:
        rows = stored.to_pylist()
        found = np.full((len(rows), max((len(tags or ()) for tags in rows), default=0)), NO_WORD, np.int64)
        for row, tags in enumerate(rows):
            found[row, : len(tags or ())] = tags or ()
        return found

    def labeled(self, targets: Any) -> Any:
        return (targets >= 0).any(-1)

    def hard_rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over a row's words."""
        rows = F.cross_entropy(wide(logits).nan_to_num().mT, targets.clamp(min=0), reduction="none")
        known = targets >= 0
        return torch.where(known, rows, 0.0).sum(-1) / known.sum(-1).clamp(min=1)

    def distributions(self, logits: Tensor) -> Tensor | None:
        return logits

    def predictions(self, logits: np.ndarray) -> Predictions:
        shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
        tags = np.where(np.isnan(logits[..., 0]), 0, np.nan_to_num(logits).argmax(-1))
        return Predictions(tags, shifted / shifted.sum(axis=-1, keepdims=True))

    def baseline(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """Every word is `O`."""
        return np.where(np.arange(outputs) == 0, 1.0, 0.0)


def tags_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The tags of entity types: `O`, and `B-` and `I-` of each. A list of these tags themselves stays as it is.

    Raises:
        ConfigError: There are other tags, or they stand in another order.

    >>> tags_of(["PER", "LOC"])
    ('O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC')
    """
    if OUTSIDE not in labels:
        return (OUTSIDE, *(f"{prefix}-{kind}" for kind in labels for prefix in "BI"))
    kinds = types_of(labels)
    if tags_of(kinds) != tuple(labels):
        raise ConfigError(
            f"labels = {list(labels)} is not in the order O, B-X, I-X, B-Y, I-Y; list the entity types instead: "
            f"{list(kinds)}."
        )
    return tuple(labels)


def types_of(tags: Sequence[str]) -> tuple[str, ...]:
    """The entity types of tags, in the order of their first appearance.

    >>> types_of(["O", "B-PER", "I-PER", "S-LOC"])
    ('PER', 'LOC')
    """
    found = [_PREFIXED.fullmatch(tag) for tag in tags]
    return tuple(dict.fromkeys(each["kind"] for each in found if each))


def mended(values: pa.ChunkedArray, labels: Sequence[str]) -> tuple[pa.ChunkedArray, int]:
    """Lists of tags in which each `I-` that continues no entity is its `B-`, and how many there were."""
    rows = [None if tags is None else list(tags) for tags in values.to_pylist()]
    if pa.types.is_integer(values.type.value_type):
        rows = [_named(row, tags, labels) for row, tags in enumerate(rows)]
    count = 0
    for tags in rows:
        for place in _strays(tags or ()):
            assert tags is not None
            tags[place], count = f"B-{tags[place][2:]}", count + 1
    return pa.chunked_array([pa.array(rows, pa.list_(pa.string()))]), count


def entity_table(targets: np.ndarray, logits: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """`entity_scores` of a model's outputs by the names of all types; those of none are 0."""
    predicted = TOKEN_CLASSIFICATION.predictions(logits).classes
    assert predicted is not None
    found = entity_scores(targets, predicted)
    return {name: found.get(kind, NO_ENTITIES) for kind, name in enumerate(types_of(labels))}


def _named(row: int, tags: list[int] | None, labels: Sequence[str]) -> list[str] | None:
    if tags is None or any(tag == -1 for tag in tags):  # as data sets write hidden tags
        return None
    if wrong := [tag for tag in tags if not 0 <= tag < len(labels)]:
        allowed = ", ".join(f"{number} ({tag})" for number, tag in enumerate(labels))
        raise LabelError(row, wrong[0], allowed)
    return [labels[tag] for tag in tags]


def _as_bio(rows: list[list[Any] | None]) -> list[list[Any] | None]:
    """Which of the schemes it is can be told from all rows: IOB1 has `B-` only behind an entity of the same type."""
    prefixes = {tag[:2] for tags in rows for tag in tags or () if isinstance(tag, str) and _PREFIXED.fullmatch(tag)}
    if prefixes - {"B-", "I-"}:
        return [None if tags is None else _from_marked_ends(row, tags) for row, tags in enumerate(rows)]
    is_iob1 = all(_continues(tags, place) for tags in rows for place in _begun(tags or ()))
    if is_iob1 and any(_strays(tags or ()) for tags in rows):
        return [None if tags is None else _from_iob1(tags) for tags in rows]
    return rows


def _begun(tags: Sequence[Any]) -> list[int]:
    return [place for place, tag in enumerate(tags) if str(tag).startswith("B-")]


def _continues(tags: Sequence[Any] | None, place: int) -> bool:
    """Whether the word before is of an entity of the same type."""
    assert tags is not None
    return place > 0 and str(tags[place - 1]) in (f"B-{tags[place][2:]}", f"I-{tags[place][2:]}")


def _strays(tags: Sequence[Any]) -> list[int]:
    """Where an `I-` continues no entity."""
    return [at for at, tag in enumerate(tags) if str(tag).startswith("I-") and not _continues(tags, at)]


def _from_iob1(tags: Sequence[Any]) -> list[Any]:
    strays = set(_strays(tags))
    return [f"B-{tag[2:]}" if place in strays else tag for place, tag in enumerate(tags)]


def _from_marked_ends(row: int, tags: Sequence[Any]) -> list[Any]:
    """BIOES and its like; an entity that is never begun or never ended is refused."""
    found: list[Any] = []
    inside: str | None = None  # the type of the entity that the word before leaves open
    for tag in tags:
        match = _PREFIXED.fullmatch(tag) if isinstance(tag, str) else None
        prefix, kind = (match["prefix"], match["kind"]) if match else ("O", None)
        begins = prefix in "B" or prefix in _SINGLE
        if (inside is not None) if begins or kind is None else (kind != inside):
            raise LabelError(row, tags, "entities that begin with B- and end with E- (or L-), or are S- (or U-, W-)")
        found.append(tag if kind is None else f"{'B' if begins else 'I'}-{kind}")
        inside = None if kind is None or prefix in _LAST or prefix in _SINGLE else kind
    if inside is not None:
        raise LabelError(row, tags, "entities that begin with B- and end with E- (or L-), or are S- (or U-, W-)")
    return found


def _numbers(row: int, tags: Sequence[Any] | None, labels: Sequence[str]) -> list[int] | None:
    if tags is None:
        return None
    if unknown := [tag for tag in tags if tag not in labels]:
        raise LabelError(row, unknown[0], f"{', '.join(labels)}, and null for a row without tags")
    if strays := _strays(tags):
        at = strays[0]
        before = f"after {tags[at - 1]}" if at else "at the start"
        allowed = "B- or I- of the same type before an I- (corpus.tags=mend makes such an I- its B-)"
        raise LabelError(row, f"{tags[at]} {before} (tag {at}, the first is 0)", allowed)
    return [labels.index(tag) for tag in tags]


TOKEN_CLASSIFICATION = TokenClassification()
