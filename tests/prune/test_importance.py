import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd import counted_apart
from sklearn.feature_extraction.text import TfidfVectorizer

from kdray.pruning.importance import Scale, count_terms, freeze, score

CATS = [
    "the cat sat on the mat",
    "the cat ate the fish",
    "dogs bark",
    "a cat and a dog met the fish on the mat",
]


def oracle(texts: list[str], how: str) -> np.ndarray:
    """Dense float64, straight from the formulas; tokens are space-separated words of two or more letters."""
    rows = [[word for word in text.lower().split() if len(word) > 1] for text in texts]
    words = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in words] for row in rows], dtype=np.float64).reshape(len(rows), -1)
    weights = counts * (np.log((1 + len(rows)) / (1 + (counts > 0).sum(0))) + 1)
    length = np.sqrt((weights**2).sum(1))
    total = weights.sum(1) / np.where(length == 0, 1, length)
    return total if how == "sum" else total / np.maximum((counts > 0).sum(1), 1)


def test_sum_and_scale_worked_by_hand() -> None:
    scores = score(CATS, freeze(count_terms(CATS)))
    assert scores == pytest.approx([2.171077, 1.936090, 1.414214, 2.771118], abs=1e-6)
    assert Scale.of(scores).importance(scores) == pytest.approx([0.557787, 0.384608, 0, 1], abs=1e-6)


def test_mean_prefers_short_sentences() -> None:
    scores = score(CATS, freeze(count_terms(CATS)), "mean")
    assert Scale.of(scores).importance(scores) == pytest.approx([0.243475, 0.381553, 1, 0], abs=1e-6)


def test_equals_scikit_learn() -> None:
    texts = [*CATS, "Ünïcode_words 42 x-ray!", "", "I a ."]
    vectors = TfidfVectorizer().fit_transform(texts)
    assert score(texts, freeze(count_terms(texts))) == pytest.approx(np.asarray(vectors.sum(axis=1)).ravel(), abs=1e-12)


def test_scripts_without_spaces_are_counted_by_pairs_of_characters() -> None:
    assert count_terms(["猫が好き film", "好き", "猫"]).document_frequency == {
        "film": 1, "猫が": 1, "が好": 1, "好き": 2, "猫": 1,
    }  # fmt: skip


PHRASES = st.lists(st.sampled_from(["aa", "bb", "cc", "DD", "ee", "f"]), max_size=8).map(" ".join)


@given(st.lists(PHRASES, min_size=1, max_size=8), st.sampled_from(["sum", "mean"]))
def test_equals_a_dense_oracle(texts: list[str], how: str) -> None:
    assert score(texts, freeze(count_terms(texts)), how) == pytest.approx(oracle(texts, how), abs=1e-12)


@given(st.lists(st.text(max_size=20), max_size=12), st.integers(0, 12))
def test_counts_counted_apart_add_up(texts: list[str], cut: int) -> None:
    whole = count_terms(texts)
    assert counted_apart(texts[:cut], texts[cut:]) == counted_apart(texts, []) == whole
    swapped = freeze(counted_apart(texts[cut:], texts[:cut]))
    assert list(swapped.idf.items()) == list(freeze(whole).idf.items())


def test_scores_do_not_depend_on_the_shard_or_the_order_of_words() -> None:
    statistics = freeze(count_terms(CATS))
    whole = score(CATS, statistics)
    assert np.array_equal(np.concatenate([score(CATS[:1], statistics), score(CATS[1:], statistics)]), whole)
    assert score([" ".join(reversed(CATS[3].split()))], statistics)[0] == whole[3]


def test_unknown_words_score_zero() -> None:
    assert score(["zebra quagga", "", "a"], freeze(count_terms(CATS))).tolist() == [0, 0, 0]
    assert score([], freeze(count_terms([]))).shape == (0,)


def test_importance_is_clipped_and_one_where_all_are_equal() -> None:
    assert Scale(1, 3).importance(np.array([0.0, 1, 2, 3, 9])).tolist() == [0, 0, 0.5, 1, 1]
    assert Scale(2, 2).importance(np.array([0.0, 2, 5])).tolist() == [1, 1, 1]
    assert Scale.of(np.array([])) == Scale(0, 0)
