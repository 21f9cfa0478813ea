"""The rows that a controller's reward is measured on."""

from collections import Counter

import numpy as np
import pytest
import tiny

from kdray.distillation.job import split_reward_rows
from kdray.methods import Reward
from kdray.train import Rows

UNLABELED = (3, 5, 8)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return tiny.random_rows(103, seed=1, classes=3, unlabeled=UNLABELED)


def classes(rows: Rows) -> Counter[int]:
    return Counter(rows.labels.tolist())


def test_without_reward_no_rows_are_split_off(rows: Rows) -> None:
    assert split_reward_rows(rows, None, seed=0) == (rows, None)


def test_held_out_rows_are_a_share_of_each_class_that_is_not_trained_on(rows: Rows) -> None:
    rest, chosen = split_reward_rows(rows, Reward(rows=0.1, held_out=True), seed=0)
    assert chosen is not None
    assert len(chosen) == 10
    assert sorted([*rest.ids, *chosen.ids]) == sorted(rows.ids)
    assert classes(chosen)[-1] == 0
    for label, number in classes(rows).items():
        if label >= 0:
            assert abs(classes(chosen)[label] - number / 10) <= 1
    labels = dict(zip(rows.ids, rows.labels.tolist(), strict=True))
    assert [labels[each] for each in chosen.ids] == chosen.labels.tolist()


def test_rows_that_are_not_held_out_are_trained_on_too(rows: Rows) -> None:
    rest, chosen = split_reward_rows(rows, Reward(rows=20, held_out=False), seed=0)
    assert chosen is not None
    assert list(rest.ids) == list(rows.ids)
    assert len(chosen) == 20


def test_the_seed_decides(rows: Rows) -> None:
    reward = Reward(rows=0.2, held_out=True)
    first, again, other = (split_reward_rows(rows, reward, seed=seed)[1] for seed in (0, 0, 1))
    assert first is not None and again is not None and other is not None  # noqa: PT018
    assert list(first.ids) == list(again.ids)
    assert set(first.ids) != set(other.ids)


def test_at_most_half_of_the_labeled_rows(rows: Rows) -> None:
    few = rows.take(np.arange(9))  # six of them are labeled
    rest, chosen = split_reward_rows(few, Reward(rows=500, held_out=True), seed=0)
    assert chosen is not None
    assert (len(rest), len(chosen)) == (6, 3)
