"""Dotted overrides: the command line, search spaces and comparisons change settings by one function."""

from typing import Any

import pytest

from kdray.config import RunConfig, apply_overrides, dotted, merge, parse
from kdray.errors import ConfigError

BASE = parse(
    {
        "teachers": [{"name": "a", "train": {"epochs": 7}}, {"name": "b", "encoder": "other"}],
        "method": {"name": "kd", "temperature": 2, "direction": "reverse"},
        "prune": {"policy": {"name": "lower_tail", "deviations": 1}, "min_keep": 2},
        "assistant": {"method": {"temperature": 3}},
    },
    source="test",
).model_dump(mode="json")


def changed(*overrides: str) -> RunConfig:
    return parse(apply_overrides(BASE, overrides), source="test")


def merged(changes: dict[str, Any]) -> RunConfig:
    return parse(merge(BASE, changes), source="test")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("assistant.train.epochs", 5),
        ("assistant.method.temperature", 2.0),
        ("teachers.0.train.epochs", 5),
        ("teachers.1.layers", 2),
        ("prune.policy.deviations", 0.25),
        ("method.temperature", 8.0),
        ("train.learning_rate", 0.001),
    ],
)
def test_a_space_reaches_every_place_that_the_command_line_reaches(key: str, value: float) -> None:
    section, *rest = key.split(".")
    nested: Any = value
    for part in reversed(rest):
        nested = {part: nested}
    by_line = changed(f"{key}={value}")
    assert merged({key: value}) == by_line
    assert by_line != parse(BASE, source="test")
    if section != "teachers":
        assert merged({section: nested}) == by_line


def test_another_method_in_a_space_clears_the_settings_of_the_old_one_but_keeps_what_is_given_with_it() -> None:
    for changes in (
        {"method.name": "dekd", "method.r": 0.25},
        {"method.r": 0.25, "method.name": "dekd"},
        {"method": {"r": 0.25, "name": "dekd"}},
        {"method": {"r": 0.25}, "method.name": "dekd"},
    ):
        method: Any = merged(changes).method
        assert method == type(method)(r=0.25)
        assert (method.name, method.temperature, method.direction) == ("dekd", 5, "forward")


def test_the_same_method_in_a_space_keeps_what_the_base_has() -> None:
    method: Any = merged({"method": {"name": "kd", "alpha": 0.25}}).method
    assert (method.alpha, method.temperature, method.direction) == (0.25, 2, "reverse")


def test_a_policy_that_prunes_nothing_clears_the_settings_of_pruning() -> None:
    for run in (
        changed("prune.policy=none"),
        changed("prune.policy.name=none"),
        merged({"prune": {"policy": "none"}}),
        merged({"prune.policy.name": "none"}),
    ):
        assert run.prune == parse({"prune": {"policy": "none"}}, source="test").prune
    with pytest.raises(ConfigError, match="min_keep would be ignored, because policy is none"):
        changed("prune.min_keep=3", "prune.policy=none")


def test_near_duplicates_are_looked_for_without_a_policy_too() -> None:
    base = {"prune": {"embedders": "minilm", "duplicates": {"action": "drop"}, "min_keep": 2}}
    prune = parse(merge(base, {"prune.policy": "none"}), source="test").prune
    assert (prune.embedders, prune.duplicates is not None, prune.min_keep) == ("minilm", True, 1)


def test_a_policy_given_by_its_name_alone_has_settings_too() -> None:
    plain = apply_overrides({"prune": {"policy": "literal"}}, ["prune.policy.percentile=70"])
    assert plain == {"prune": {"policy": {"name": "literal", "percentile": 70}}}


def test_a_setting_of_a_method_or_policy_that_is_not_named_is_one_of_the_default() -> None:
    run = parse(apply_overrides({}, ["method.temperature=2", "prune.policy.deviations=1"]), source="test")
    assert run == parse(
        {"method": {"name": "kd", "temperature": 2}, "prune": {"policy": {"name": "lower_tail", "deviations": 1}}},
        source="test",
    )


def test_a_section_on_the_command_line_replaces_the_section() -> None:
    assert changed("method={name: kd, alpha: 0.25}").method == type(changed().method)(alpha=0.25)  # pyright: ignore


def test_what_is_changed_is_a_copy() -> None:
    before = str(BASE)
    merge(BASE, {"teachers.0.name": "z", "method.temperature": 9})
    apply_overrides(BASE, ["teachers.0.name=z"])
    assert str(BASE) == before


def test_dotted_keys_of_nested_changes() -> None:
    assert dotted({"method": {"name": "kd", "a": 1}, "train.seed": 2}) == {
        "method.name": "kd",
        "method.a": 1,
        "train.seed": 2,
    }


@pytest.mark.parametrize(
    "text", ["runs #2", "2024", "no", "1:30", "a: b", "[x", "~", "'quoted'", "{}", "null", "1e5", "  x"]
)
def test_a_text_is_taken_as_it_is_written(text: str) -> None:
    assert changed(f"store={text}").store == text
    assert changed(f"teachers.0.encoder={text}").teachers[0].encoder == text


def test_null_unsets_a_text_that_may_be_missing() -> None:
    assert changed("corpus.group_by=null").corpus.group_by is None


def test_numbers_and_sections_are_yaml() -> None:
    run = changed("train.learning_rate=1e-4", "train.epochs=1_000", "outputs.quality_check=off", "work.gpus=null")
    assert (run.train.learning_rate, run.train.epochs) == (1e-4, 1000)
    assert (run.outputs.quality_check, run.work.gpus) == (False, None)
    labels = changed("corpus={name: folder, path: 2024, labels: [no, yes, 2024]}").corpus
    assert (labels.path, labels.labels) == ("2024", ("no", "yes", "2024"))
    columns = changed("corpus={name: folder, path: x, labels: [no, 010], columns: {label: 1}}").corpus
    assert (columns.labels, columns.columns) == (("no", "010"), {"label": "1"})
