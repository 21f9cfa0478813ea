"""Which trial wins a search: the best mean on further seeds, unless chance alone could give its lead."""

import math

import pytest

from kdray.experiments.selection import select, select_by_folds
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


def chosen_by_folds(trials, *, metric="accuracy", higher=True, rows=None):
    by_number = {number: results(*scores, metric=metric) for number, scores in trials.items()}
    rows = rows or {"train": 600, "validation": 300}
    return select_by_folds(by_number, seed=5, metric=metric, higher_is_better=higher, rows=rows)


def test_folds_are_compared_in_pairs_with_the_corrected_standard_error():
    # differences 0.02, 0.04, 0.06: mean 0.04, variance 0.0004, noise √(0.0004·(1/3 + 1/2)) = 0.0182574
    found = chosen_by_folds({0: (0.5, 0.7, 0.6), 3: (0.52, 0.74, 0.66), 4: (0.5, 0.6, 0.7)})
    assert (found.best, found.winner, found.folds, found.seeds) == (3, 3, 3, (5,))
    assert found.gain == pytest.approx(0.04)
    assert found.noise == pytest.approx(0.0182574, abs=1e-7)
    assert [(each.number, round(each.validation, 6)) for each in found.contenders] == [(0, 0.6), (3, 0.64), (4, 0.6)]


def test_a_lead_within_the_noise_of_the_folds_does_not_win():
    # differences 0.2, -0.1, 0.05: mean 0.05, variance 0.0225, noise √(0.0225·5/6) = 0.1369306
    found = chosen_by_folds({0: (0.5, 0.7, 0.6), 3: (0.7, 0.6, 0.65)})
    assert (found.best, found.winner) == (3, 0)
    assert found.noise == pytest.approx(0.1369306, abs=1e-7)


def test_few_train_rows_in_common_make_the_noise_of_folds_smaller():
    # as above, but with 1 validation row for 9 train rows: √(0.0004·(1/3 + 1/9)) = 0.0133333
    found = chosen_by_folds({0: (0.5, 0.7, 0.6), 3: (0.52, 0.74, 0.66)}, rows={"train": 900, "validation": 100})
    assert found.noise == pytest.approx(0.0133333, abs=1e-7)


def test_the_defaults_win_where_no_candidate_is_ahead_in_the_folds():
    found = chosen_by_folds({0: (0.5, 0.8), 3: (0.4, 0.7)})
    assert (found.best, found.winner, found.gain, found.noise) == (0, 0, 0.0, 0.0)


def test_lower_is_better_for_an_error_in_folds():
    found = chosen_by_folds({0: (0.5, 0.5), 3: (0.3, 0.2), 5: (0.7, 0.7)}, metric="mse", higher=False)
    assert (found.winner, found.gain) == (3, pytest.approx(0.25))


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
