"""Phrases of one sentence stay together: on all texts against a plain search, and in the splits that are carved."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_reading import read_own, refusal, texts, with_train, write

from kdray.corpora import CorpusSettings, Field
from kdray.corpora.phrases import phrase_groups

WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map(" ".join)


def longest_with(text, every):
    """The longest text that has `text` as a run of words, the first of equals."""
    holding = [other for other in every if f" {text} " in f" {other} "]
    return min(holding, key=lambda other: (-len(other.split()), other))


@given(st.lists(WORDS, max_size=30))
@settings(deadline=None, max_examples=100)
def test_a_text_goes_with_the_longest_one_that_contains_it(every):
    groups = phrase_groups(every).tolist()
    whole = [longest_with(text, every) for text in every]
    assert len(set(groups)) == len(set(whole)) == len(set(zip(groups, whole, strict=True)))


def test_case_and_white_space_do_not_count():
    assert phrase_groups(["A very  good film", "good Film", "a bad film", "goo", "film"]).tolist() == [0, 0, 1, 2, 0]
    assert phrase_groups([]).tolist() == []


def reviews(number):
    """Sentences, each followed by two of its phrases."""
    for k in range(number):
        for text in (f"film {k} was good of its kind", f"film {k} was good", f"{k} was"):
            yield {"text": text, "label": "yes" if k % 2 else "no"}


def sentences_of(splits, split):
    return {word for text in splits[split]["text"].to_pylist() for word in text.split() if word.isdecimal()}


def test_validation_shares_no_sentence_with_train_on_request(tmp_path):
    with_train(tmp_path, list(reviews(40)))
    by_row = read_own(tmp_path, validation_fraction=0.25).splits
    assert sentences_of(by_row, "train") & sentences_of(by_row, "validation")
    for limit in (None, 60):  # a limit may take a phrase without its sentence
        splits = read_own(tmp_path, validation_fraction=0.25, group_phrases=True, limit=limit).splits
        assert sentences_of(splits, "validation")
        assert not sentences_of(splits, "train") & sentences_of(splits, "validation")
        assert splits["train"].column_names == by_row["train"].column_names


def test_phrases_of_rows_with_several_texts_need_a_field(tmp_path):
    with_train(tmp_path, [{"a": "x", "b": "y", "label": i % 2} for i in range(20)])
    write(tmp_path, "test", [{"a": "x", "b": "y", "label": 0}])
    fields = (Field("a", "pair"), Field("b", "pair"))
    message = "corpus.group_phrases needs corpus.group_by where a row has several texts; "
    assert message in refusal(tmp_path, fields=fields, group_phrases=True)


def test_phrases_are_refused_where_the_folder_has_a_validation_split(tmp_path):
    with_train(tmp_path, texts(20))
    write(tmp_path, "validation", texts(4))
    assert "corpus.group_phrases = True has no effect" in refusal(tmp_path, group_phrases=True)
    with pytest.raises(ValidationError, match="group_phrases = True has no effect"):
        CorpusSettings(name="emotion", group_phrases=True)
