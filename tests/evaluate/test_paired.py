"""Tests between students: by hand, against scipy, and how often equal students differ by chance."""

import numpy as np
import pytest
from scipy import stats

from kdray.evaluate.paired import bootstrap, by_seed, holm, mcnemar


def right(*rows):
    return np.array(rows, bool)


def test_mcnemar_by_hand():
    # 6 rows are only ours, 1 is only theirs: 2·(1 + 7)/2^7
    ours = right([1] * 6 + [0] + [1] * 5)
    theirs = right([0] * 6 + [1] + [1] * 5)
    assert mcnemar(ours, theirs) == mcnemar(theirs, ours) == pytest.approx(0.125, abs=1e-12)
    assert mcnemar(ours, ours) == 1.0


def test_a_row_of_several_seeds_belongs_to_who_is_right_more_often():
    ours = right([1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0])
    theirs = right([0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0])
    assert mcnemar(ours, theirs) == 1.0  # rows 0: ours; 1, 2: equal; 3: nobody's
    assert mcnemar(np.repeat(ours, 8, axis=1), np.repeat(theirs, 8, axis=1)) == pytest.approx(2 / 2**8)


def test_seeds_are_compared_in_pairs():
    ours, theirs = [0.80, 0.71, 0.62], [0.78, 0.70, 0.60]
    assert by_seed(ours, theirs) == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert by_seed(ours, theirs) < 0.05 < stats.ttest_ind(ours, theirs).pvalue  # far apart seeds hide a steady lead
    assert by_seed([0.5], [0.4]) is None
    assert by_seed([0.5, 0.6], [0.4, 0.5]) is None


def test_the_interval_has_the_width_of_the_rows():
    random = np.random.default_rng(1)
    ours, theirs = random.random((1, 2000)) < 0.9, random.random((1, 2000)) < 0.8
    lead = ours.astype(float) - theirs
    found = bootstrap(ours, theirs)
    half = 1.96 * lead.std() / np.sqrt(2000)
    assert found.low == pytest.approx(lead.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(lead.mean() + half, abs=0.15 * half)
    assert found.p_value == pytest.approx(2 / 1001)
    assert found == bootstrap(ours, theirs)
    assert bootstrap(ours, ours).p_value == 1.0


def test_seeds_that_differ_widen_the_interval():
    steady = right(*[[1] * 60 + [0] * 40] * 3)
    theirs = right(*[[1] * 50 + [0] * 50] * 3)
    unsteady = right([1] * 90 + [0] * 10, [1] * 60 + [0] * 40, [1] * 30 + [0] * 70)
    one, other = bootstrap(steady, theirs), bootstrap(unsteady, theirs)
    assert other.high - other.low > 2 * (one.high - one.low)


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None}) == {
        "a": pytest.approx(0.03),
        "b": pytest.approx(0.06),
        "c": pytest.approx(0.06),
        "d": None,
    }
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
