"""Scales, ticks, words and marks, with numbers worked by hand."""

from typing import Any

import made_up
import pytest
from reading import read, texts

from kdray.report import render, svg
from kdray.report.markup import Html, markup, tag
from kdray.report.plot_parallel import parallel
from kdray.report.plot_search import parameter_scale
from kdray.report.plot_time import phases
from kdray.report.words import duration, listing, metric, milliseconds, moment, number, p_value, parameters, setting


def test_a_linear_scale_maps_its_ends_and_its_middle() -> None:
    axis = svg.Scale(low=0.0, high=10.0, start=100.0, end=0.0)
    assert [axis(value) for value in (0, 5, 10)] == [100.0, 50.0, 0.0]


def test_a_log_scale_gives_each_decade_the_same_room() -> None:
    axis = svg.Scale(low=1e-6, high=1e-2, start=0.0, end=100.0, is_log=True)
    assert [axis(value) for value in (1e-6, 1e-4, 1e-2)] == pytest.approx([0.0, 50.0, 100.0])


def test_a_single_value_stands_in_the_middle() -> None:
    assert svg.scale([3.0], 0.0, 10.0)(3.0) == pytest.approx(5.0)
    assert svg.scale([0.0, 0.0], 0.0, 10.0)(0.0) == pytest.approx(5.0)
    assert svg.scale([-2.0], 0.0, 10.0)(-2.0) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("low", "high", "about", "labels"),
    [
        (0.0, 1.0, 5, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (54.0, 65.0, 5, ["54", "56", "58", "60", "62", "64"]),
        (-0.011, 0.011, 2, ["-0.01", "0.00", "0.01"]),
        (0.0, 3e7, 3, ["0", "1e7", "2e7", "3e7"]),
    ],
)
def test_ticks_are_round(low: float, high: float, about: int, labels: list[str]) -> None:
    axis = svg.Scale(low=low, high=high, start=0.0, end=1.0)
    assert [label for _, label in svg.ticks(axis, about=about)] == labels


def test_ticks_of_counts_are_whole() -> None:
    axis = svg.Scale(low=0.9, high=2.1, start=0.0, end=1.0)
    assert [label for _, label in svg.ticks(axis, is_whole=True)] == ["1", "2"]


def test_log_ticks_are_few_and_labelled() -> None:
    wide = svg.Scale(low=1e-6, high=1e-2, start=0.0, end=1.0, is_log=True)
    assert [label for _, label in svg.ticks(wide)] == ["1e-6", "1e-5", "1e-4", "0.001", "0.01"]
    narrow = svg.Scale(low=0.9, high=21.0, start=0.0, end=1.0, is_log=True)
    assert [label for _, label in svg.ticks(narrow)] == ["1", "3", "10"]


@pytest.mark.parametrize(
    ("numbers", "is_log"),
    [([1.0, 20.0], False), ([1.0, 20.1], True), ([0.0, 100.0], False), ([-1.0, 100.0], False), ([2.0, 2.0], False)],
)
def test_a_logarithmic_axis_needs_positive_values_over_a_factor_of_20(numbers: list[float], is_log: bool) -> None:
    assert parameter_scale(numbers, 0.0, 1.0).is_log is is_log


def test_labels_below_an_axis_do_not_run_into_each_other() -> None:
    box = svg.Box()
    ticks = [(100.0, "0.0001"), (120.0, "0.0002"), (150.0, "0.0003")]
    drawn = str(svg.frame(box, ticks, [], x_label="", y_label=""))
    assert "0.0001" in drawn
    assert "0.0003" in drawn
    assert "0.0002" not in drawn
    assert drawn.count('class="grid"') == 3


def test_only_html_is_not_escaped() -> None:
    assert tag("p", "a < b", Html("<br>"), title='"x"') == '<p title="&quot;x&quot;">a &lt; b<br></p>'
    assert markup(Html("<b>") + "x") == "&lt;b&gt;x", "joining loses the mark, so it is escaped and not trusted"
    assert tag("p", ["a", ["b", tag("i", "c")]], class_="d", data_key="1") == '<p class="d" data-key="1">ab<i>c</i></p>'
    assert tag("circle", cx=1.005, r=2.0) == '<circle cx="1.00" r="2"></circle>'.replace("1.00", "1")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3e-5, "3e-5"),
        (2.43e-4, "2.43e-4"),
        (0.001, "0.001"),
        (4.0, "4"),
        (12345.6, "1.235e4"),
        (0.0, "0"),
        (-5e-7, "-5e-7"),
    ],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


def test_settings_are_written_as_in_yaml() -> None:
    assert [setting(value) for value in (True, None, 4, 0.5, "cosine", [1, 2])] == [
        "true", "null", "4", "0.5", "cosine", "[1, 2]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.042, "0.042 s"),
        (1.0, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (72.4, "1 min 12 s"),
        (3912.4, "1 h 05 min"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_scores_have_as_many_digits_as_the_rows_bear_out() -> None:
    assert metric("accuracy", 277).score(0.64123) == "64.1 %"
    assert metric("macro_f1", 5463).score(0.64123) == "64.12 %"
    assert metric("matthews", 1043).score(0.64123) == "0.6412"
    assert metric("matthews", 500).difference(-0.01) == "−0.010"
    assert metric("accuracy", 277).score(None) == "not measured"
    assert metric("accuracy", 277).score_and_spread(0.64123, None) == "64.1 %"


def test_other_words() -> None:
    assert [parameters(n) for n in (950, 12_300, 22_713_216, 109_482_240)] == ["950", "12.3 k", "22.7 M", "109 M"]
    assert [milliseconds(v) for v in (8.7, 41.34, 412.3, None)] == ["8.70 ms", "41.3 ms", "412 ms", "not measured"]
    assert [p_value(v) for v in (0.0004, 0.041, None)] == [
        "p\u00a0<\u00a00.001",
        "p\u00a0=\u00a00.041",
        "p not measured",
    ]
    assert [listing(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a or b", "a, b or c"]
    assert [moment(text) for text in ("2001-02-03T04:05:06Z", "2001-02-03T04:05", "today")] == [
        "2001-02-03 04:05 UTC", "2001-02-03 04:05", "today",
    ]  # fmt: skip


def test_phases_that_overlap_are_called_so_and_gaps_are_shown() -> None:
    assert "The phases overlap" in phases({"total": 10.0, "by_phase": {"a": 8.0, "b": 8.0}})
    assert "outside these phases 5.0 s (50.0 %)" in phases({"total": 10.0, "by_phase": {"a": 5.0}})
    assert "Nothing to draw" in phases(None)
    assert "Nothing to draw" in phases({"total": 10.0})


def test_a_front_is_drawn_for_each_cost_that_was_searched_for() -> None:
    result = made_up.sweep()
    assert "Score against" not in render({**result, "objectives": ["metric"]}).replace("Score against each", "")
    for trial in result["trials"]:
        if trial["state"] == "complete":
            trial |= {"latency_ms": 5.0 + trial["number"], "parameters": 10_000_000 + trial["number"]}
    front = [trial["number"] for trial in result["trials"] if trial["state"] == "complete"][:2]
    result |= {"objectives": ["metric", "latency", "parameters"], "front": front}
    page = render(result)
    for cost in ("latency", "parameters"):
        assert f"Score against {cost}" in page
    complete = sum(trial["state"] == "complete" for trial in result["trials"])
    assert page.count(f"{complete} finished trials, 2 of them on the front.") == 2
    for trial in result["trials"]:
        trial["latency_ms"] = None
    assert "no trial was finished, so none has a latency" in render(result)


def test_parallel_coordinates_join_the_parameters_of_every_complete_trial() -> None:
    result: Any = made_up.sweep()
    complete = [trial for trial in result["trials"] if trial["state"] == "complete"]
    drawing = parallel(result, metric("accuracy", None))
    lines = {e.attributes["class"]: [] for e in read(drawing) if e.tag == "polyline"}
    for e in read(drawing):
        if e.tag == "polyline":
            points = [tuple(map(float, point.split(","))) for point in e.attributes["points"].split()]
            lines[e.attributes["class"]].append(points)
    every = [points for group in lines.values() for points in group]
    (winner,) = lines["line winner"]
    assert len(every) == len(complete)
    assert len({y for _, y in winner}) == len(winner) == 6  # five parameters that differ, and the score
    assert winner[-1][0] == max(points[-1][0] for points in every)
    assert "seed" not in texts(drawing, "text")  # the same in every trial
    without_layers = sum("layers" not in trial["params"] for trial in complete)
    assert sum(16.0 in (x for x, _ in points) for points in every) == without_layers > 0


def test_parallel_coordinates_need_trials_that_differ() -> None:
    result: Any = made_up.sweep()
    result["trials"] = [trial | {"params": {"alpha": 1}} for trial in result["trials"]]
    assert "fewer than two complete trials that differ" in parallel(result, metric("accuracy", None))
