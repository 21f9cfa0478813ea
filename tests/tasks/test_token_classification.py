"""Tags of words: their schemes, their entities, and scores that equal those of seqeval."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from seqeval.metrics import f1_score

from kdray.errors import ConfigError
from kdray.tasks import NO_WORD, TOKEN_CLASSIFICATION, LabelError, mended, score_all, tags_of
from kdray.tasks.entities import entities, entity_scores

TAGS = tags_of(["PER", "LOC"])


def read(*rows):
    stored = TOKEN_CLASSIFICATION.read(pa.chunked_array([pa.array(rows)]), TAGS)
    return [None if row is None else [TAGS[tag] for tag in row] for row in stored.to_pylist()]


def test_bio_stays_as_it_is_and_numbers_are_tags():
    rows = ["B-PER", "I-PER", "B-PER", "O"], ["O"], None
    assert read(*rows) == [*map(list, rows[:2]), None]
    assert read([1, 2, 1, 0], [-1, -1]) == [["B-PER", "I-PER", "B-PER", "O"], None]


@pytest.mark.parametrize(
    ("given", "bio"),
    [
        (["I-PER", "I-PER", "B-PER", "O", "I-LOC"], ["B-PER", "I-PER", "B-PER", "O", "B-LOC"]),
        (["B-PER", "E-PER", "S-PER", "O", "S-LOC"], ["B-PER", "I-PER", "B-PER", "O", "B-LOC"]),
        (["B-LOC", "M-LOC", "E-LOC", "O", "S-PER"], ["B-LOC", "I-LOC", "I-LOC", "O", "B-PER"]),
        (["B-LOC", "I-LOC", "L-LOC", "O", "U-PER"], ["B-LOC", "I-LOC", "I-LOC", "O", "B-PER"]),
    ],
    ids=["IOB1", "BIOES", "BMES", "BILOU"],
)
def test_other_schemes_become_bio(given, bio):
    assert read(given, ["O", "O"]) == [bio, ["O", "O"]]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (["B-PER", "I-LOC"], "I-LOC after B-PER (tag 1, the first is 0)"),
        (["I-PER", "O"], "I-PER at the start (tag 0, the first is 0)"),
        (["O", "B-ORG"], "B-ORG"),
    ],
)
def test_a_wrong_tag_is_refused_with_its_row(row, found):
    with pytest.raises(LabelError) as error:
        read(["O", "B-PER", "O", "B-LOC"], row)
    assert (error.value.row, error.value.found) == (1, found)


@pytest.mark.parametrize("row", [["B-PER", "S-LOC"], ["S-PER", "E-PER"], ["O", "B-LOC"], ["B-PER", "E-LOC"]])
def test_an_entity_without_its_end_is_refused(row):
    with pytest.raises(LabelError, match=r"allowed are entities that begin with B- and end with E-") as error:
        read(["O", "S-LOC"], row)
    assert (error.value.row, error.value.found) == (1, row)


def test_stray_tags_are_mended_and_counted():
    given = pa.chunked_array([pa.array([["I-PER", "I-PER", "O", "I-LOC"], ["B-PER", "I-LOC"]])])
    fixed, count = mended(given, TAGS)
    assert fixed.to_pylist() == [["B-PER", "I-PER", "O", "B-LOC"], ["B-PER", "B-LOC"]]
    assert count == 3


def test_tags_in_another_order_are_refused_as_labels():
    assert tags_of(TAGS) == TAGS
    with pytest.raises(ConfigError, match=r"list the entity types instead: \['PER', 'LOC'\]\.$"):
        tags_of(["B-PER", "O", "I-PER", "B-LOC", "I-LOC"])


def test_entity_scores_of_a_row_worked_by_hand():
    targets = np.array([[1, 2, 0, 3, 4, 1], [3, 0, NO_WORD, NO_WORD, NO_WORD, NO_WORD]])
    predicted = np.array([[1, 2, 0, 3, 0, 1], [3, 0, 1, 1, 1, 1]])  # one LOC is cut, words of no row count nowhere
    found = entity_scores(targets, predicted)
    assert found[None] == {"precision": 0.75, "recall": 0.75, "f1": 0.75, "support": 4}
    assert found[0] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2}
    assert found[1] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert entities(predicted[:1]).tolist() == [[0, 0, 2, 0], [0, 3, 4, 1], [0, 5, 6, 0]]


def test_scores_equal_those_of_seqeval():
    draw = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        lengths = draw.integers(1, 9, 5)
        there = np.arange(lengths.max()) < lengths[:, None]
        gold = draw.integers(0, 5, there.shape)
        ours = np.where(draw.random(there.shape) < 0.6, gold, draw.integers(0, 5, there.shape))
        logits = np.eye(5)[ours]
        scores = score_all((), np.where(there, gold, NO_WORD), logits, TOKEN_CLASSIFICATION)
        named = [
            [[TAGS[tag] for tag in row[:n]] for row, n in zip(rows, lengths, strict=True)] for rows in (gold, ours)
        ]
        assert scores["entity_f1"] == pytest.approx(f1_score(*named))
        assert scores["entity_macro_f1"] == pytest.approx(f1_score(*named, average="macro"))
        seen.add(scores["entity_f1"])
    assert len(seen) > 15


def test_words_that_were_not_read_are_predicted_outside():
    logits = np.full((1, 2, 5), np.nan, np.float32)
    logits[0, 0] = np.eye(5)[3]
    predicted = TOKEN_CLASSIFICATION.predictions(logits).classes
    assert predicted is not None
    assert predicted.tolist() == [[3, 0]]


def test_the_loss_of_a_row_is_the_mean_over_its_words():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    loss = TOKEN_CLASSIFICATION.hard_rows(logits, torch.tensor([[0, 0, NO_WORD]]))
    assert loss.tolist() == pytest.approx([(0.126928 + 1.313262) / 2], abs=1e-6)
