"""Which trial wins a search: the best mean on further seeds, unless chance alone could give its lead."""

import math

import pytest

from kdray.experiments.selection import select
from kdray.tasks import row_noise, split_gap


def results(*scores, metric="accuracy"):
    return [{"metrics": {"validation": {metric: score}, "test": {metric: 1 - score}}} for score in scores]


def chosen(trials, seeds=(0, 1, 2), *, rows=10**6, searched=0, metric="accuracy", higher=True):
    by_number = {number: results(*scores, metric=metric) for number, scores in trials.items()}
    return select(by_number, seeds, searched=searched, metric=metric, higher_is_better=higher, rows=rows)


def test_the_seed_of_the_search_does_not_count():
    found = chosen({0: (0.5, 0.7, 0.7), 4: (0.99, 0.6, 0.6), 7: (0.6, 0.8, 0.8)})
    assert (found.best, found.winner, found.seeds) == (7, 7, (1, 2))
    assert found.gain == pytest.approx(0.1)
    assert [(each.number, round(each.validation, 6)) for each in found.contenders] == [(0, 0.7), (4, 0.6), (7, 0.8)]


def test_one_seed_counts_where_there_is_no_other():
    found = chosen({0: (0.5,), 4: (0.6,)}, seeds=(0,))
    assert (found.winner, found.seeds) == (4, (0,))


def test_a_lead_within_the_noise_of_the_seeds_does_not_win():
    found = chosen({0: (0.0, 0.6, 0.8), 3: (0.9, 0.65, 0.85)})
    assert (found.best, found.winner) == (3, 0)
    row = 0.7 * 0.3 / 10**6
    assert found.noise == pytest.approx(math.sqrt(0.01 + 0.01 + row))  # each std √0.02, over √2 seeds


def test_a_lead_within_the_noise_of_few_rows_does_not_win():
    trials = {0: (0.5, 0.5, 0.5), 3: (0.6, 0.54, 0.54)}
    assert chosen(trials, rows=10_000).winner == 3
    assert chosen(trials, rows=100).winner == 0
    assert row_noise("accuracy", 0.5, 100) == pytest.approx(0.05)
    assert row_noise("matthews", 0.5, 100) is None


def test_the_defaults_win_where_no_candidate_is_ahead():
    found = chosen({0: (0.5, 0.8, 0.8), 3: (0.9, 0.7, 0.7)})
    assert (found.best, found.winner, found.gain) == (0, 0, 0.0)


def test_lower_is_better_for_an_error():
    found = chosen({0: (0.5, 0.5, 0.5), 3: (0.9, 0.3, 0.3), 5: (0.1, 0.7, 0.7)}, metric="mse", higher=False)
    assert (found.winner, found.gain) == (3, pytest.approx(0.2))


def test_a_gap_between_validation_and_test_is_said_only_beyond_the_noise() -> None:
    def gap(validation: float, test: float, *rows: int, metric: str = "accuracy") -> str | None:
        return split_gap(metric, validation=validation, test=test, rows=(rows[0], rows[1]))

    sentence = gap(0.951, 0.912, 6735, 872)  # noise: 2·√(.951·.049/6735 + .912·.088/872) = .020
    assert sentence is not None
    assert "validation accuracy 0.951 and test accuracy 0.912 differ by more than the noise of their rows (0.020)" in (
        sentence
    )
    assert gap(0.912, 0.951, 6735, 872)
    assert gap(0.93, 0.912, 6735, 872) is None
    assert gap(1.0, 0.9, 10, 20) is None
    assert gap(0.951, 0.5, 6735, 872, metric="matthews") is None
