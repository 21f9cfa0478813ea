from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from kdray.pruning import PruneSettings, resolve_level
from kdray.pruning.policies import Policy, limit_threshold
from kdray.pruning.units import LevelCounts

TEN = np.array([0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1])
ALL = [m(rate=0.3) if "rate" in m.model_fields else m() for m in get_args(get_args(Policy)[0])]


def policy(name: str, **fields: float) -> BaseModel:
    return TypeAdapter(Policy).validate_python({"name": name, **fields})


@pytest.mark.parametrize(
    ("made", "threshold", "kept"),
    [
        (policy("literal"), 0.95, [9]),
        (policy("literal_centers"), 0.95, [9]),
        (policy("lower_tail"), 0.277839, [3, 4, 5, 6, 7, 8, 9]),
        (policy("bottom_quintile"), 0.18, [2, 3, 4, 5, 6, 7, 8, 9]),
        (policy("match_rate", rate=0.328), 0.3, [3, 4, 5, 6, 7, 8, 9]),
        (policy("none"), 0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_thresholds_worked_by_hand(made: Policy, threshold: float, kept: list[int]) -> None:
    assert made.threshold(TEN) == pytest.approx(threshold, abs=1e-6)
    assert np.flatnonzero(~made.drop(TEN)).tolist() == kept


def test_the_spread_behind_the_thresholds() -> None:
    mean, spread = TEN.mean(), TEN.std()
    assert (mean, spread) == pytest.approx((0.425, 0.294321), abs=1e-6)
    upper = mean + 0.5 * spread  # what no policy takes; the check of methods.md 3.6
    assert upper == pytest.approx(0.572161, abs=1e-6)
    assert np.flatnonzero(upper <= TEN).tolist() == [7, 8, 9]


def test_every_policy_was_tried() -> None:
    assert {p.name for p in ALL} == {
        "literal",
        "literal_centers",
        "lower_tail",
        "bottom_quintile",
        "match_rate",
        "none",
    }


@pytest.mark.parametrize("made", ALL, ids=lambda p: p.name)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_policy_is_its_threshold_but_for_equals(made: Policy, values: list[float]) -> None:
    importance = np.array(values)
    drop, threshold = made.drop(importance), made.threshold(importance)
    below = importance < threshold
    assert not (below & ~drop).any()
    assert (importance[drop & ~below] == threshold).all()
    if made.name != "match_rate":
        assert np.array_equal(drop, below)
    if made.name in ("lower_tail", "bottom_quintile", "match_rate"):
        assert not drop.all()


@pytest.mark.parametrize("made", ALL, ids=lambda p: p.name)
def test_equal_units_are_all_kept_unless_a_rate_is_set(made: Policy) -> None:
    expected = 3 if made.name == "match_rate" else 0
    assert made.drop(np.full(10, 0.3 + 1e-17)).sum() == expected
    assert made.drop(np.full(7, 0.1)).sum() == (2 if expected else 0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 1), st.floats(0, 1))
def test_the_maximum_rate_only_lowers_the_threshold(values: list[float], rate: float, wanted: float) -> None:
    importance = np.array(values)
    threshold = limit_threshold(importance, wanted, rate)
    assert threshold <= wanted
    assert (importance < threshold).sum() <= rate * len(importance) + 1e-9
    if (importance < wanted).sum() <= rate * len(importance):
        assert np.array_equal(importance < threshold, importance < wanted)


def test_a_bare_name_is_a_policy() -> None:
    assert PruneSettings(policy="literal") == PruneSettings.model_validate({"policy": {"name": "literal"}})
    assert PruneSettings().policy.name == "lower_tail"
    again = PruneSettings.model_validate(PruneSettings(policy={"name": "match_rate", "rate": 0.2}).model_dump())
    assert again.policy.rate == 0.2


def test_policies_bring_their_own_protection_and_limit() -> None:
    assert (PruneSettings().medoid_rule, PruneSettings().prune_rate_limit) == ("star", 0.5)
    literal = PruneSettings(policy="literal")
    assert (literal.medoid_rule, literal.prune_rate_limit) == ("none", 1.0)
    assert PruneSettings(policy="literal_centers").medoid_rule == "nn"
    assert PruneSettings(keep_medoids="none", max_prune_rate=0.1).prune_rate_limit == 0.1


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"policy": "none", "level": "sentence"}, "because policy is none; remove the setting, or give level=auto"),
        ({"policy": "literal", "edge": "mean_cosine"}, "or give edge=null"),
        ({"keep_medoids": "none", "edge": "mean_cosine"}, "edge would be ignored"),
        ({"level": "row", "min_keep": 2, "prune_pairs": True}, "min_keep, prune_pairs would be ignored"),
        ({"level": "sentence", "min_per_class": 2}, "min_per_class would be ignored"),
        ({"policy": "literal_centers", "keep_medoids": "none"}, "equal to literal; set policy = literal"),
        ({"policy": {"name": "match_rate", "rate": 0.3}, "max_prune_rate": 0.2}, "above max_prune_rate"),
        ({"policy": "match_rate"}, "rate"),
        ({"policy": {"name": "literal", "rate": 0.5}}, "rate"),
        ({"policy": "strongest"}, "strongest"),
        ({"min_keep": 0}, "min_keep"),
        ({"threshold": 1}, "threshold"),
    ],
)
def test_refuses_settings_without_effect(given_settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PruneSettings.model_validate(given_settings)


def test_auto_is_sentence_from_five_percent_on() -> None:
    auto = PruneSettings()
    assert resolve_level(auto, LevelCounts(100, 5)) == "sentence"
    assert resolve_level(auto, LevelCounts(100, 4)) == "row"
    assert resolve_level(PruneSettings(level="row"), LevelCounts(100, 100)) == "row"
