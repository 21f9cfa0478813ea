"""The figures and the texts of the pages, with numbers worked by hand."""

import json
from typing import Any

import made_up
import pytest
from reading import read, texts

from kdray.report import figures, render
from kdray.report.formatting import (
    cut,
    duration,
    listing,
    metric,
    milliseconds,
    moment,
    number,
    p_value,
    parameters,
    setting,
    split_name,
)

_EXPORTED: dict[str, Any] = {"formats": ["onnx"], "students": {}, "teachers": {"big": 41.3}, "tokens": 13}
_EVIL = "<script>alert('x')</script>\"'&\x07"


def _traces(result: dict[str, Any], title: str) -> dict[str, Any]:
    return {trace.name: trace for trace in figures(result)[title].data}


def test_every_figure_of_a_sweep_is_drawn() -> None:
    drawn = figures(made_up.sweep())
    assert set(drawn) == {
        "Score against size", "Every seed", "Score of every trial",
        "Importance of the hyper-parameters", "Hyper-parameters and scores together", "Learning curves",
        "Training loss", "method", "temperature", "learning_rate", "alpha", "layers", "Trials over workers",
        "Time of each phase",
    }  # fmt: skip
    axes = {figure.layout.xaxis.title.text for figure in drawn.values()}
    assert {
        "trial number",
        "epoch",
        "learning_rate (log scale)",
        "minutes since the first start",
    } <= axes
    assert drawn["Score of every trial"].layout.yaxis.title.text == "accuracy, validation (%)"


def test_every_figure_of_a_run_is_drawn() -> None:
    assert set(figures(made_up.run())) == {
        "Learning curve", "Terms of the loss", "Terms of the loss, weighted", "Time of each phase",
    }  # fmt: skip
    terms = _traces(made_up.run(), "Terms of the loss")
    assert list(terms["kd"].y) == [0.7 + 0.5 - 0.2 * e for e in range(1, 5)]


def test_every_trial_is_marked_by_its_state_at_its_recorded_score() -> None:
    sweep = made_up.sweep()
    traces = _traces(sweep, "Score of every trial")
    for state, name in (("complete", "complete"), ("pruned", "stopped early")):
        trials = [trial for trial in sweep["trials"] if trial["state"] == state]
        assert list(traces[name].x) == [trial["number"] for trial in trials]
        assert list(traces[name].y) == [trial["value"] * 100 for trial in trials]
    assert list(traces["failed (no score)"].x) == [4, 9]
    assert list(traces["winner"].x) == [sweep["best"]["number"]]
    assert traces["best so far"].y[-1] == sweep["best"]["value"] * 100
    assert "trial 0 (defaults), complete: " in traces["complete"].hovertext[0]


def test_numbers_of_trials_with_gaps_stay() -> None:
    sweep = made_up.sweep()
    sweep["trials"] = [trial for trial in sweep["trials"] if trial["number"] != 3]
    assert 3 not in _traces(sweep, "Score of every trial")["complete"].x
    assert max(_traces(sweep, "Score of every trial")["complete"].x) == 19


def test_the_best_so_far_of_a_loss_falls() -> None:
    sweep = made_up.sweep() | {"metric": "log_loss", "higher_is_better": False}
    values = {t["number"]: t["value"] for t in sweep["trials"] if t["state"] == "complete"}
    best = _traces(sweep, "Score of every trial")["best so far"]
    assert list(best.x) == list(values)
    assert list(best.y) == [min(list(values.values())[: at + 1]) for at in range(len(values))]


def test_the_ladder_shows_students_with_deviations_and_teachers() -> None:
    sweep = made_up.sweep()
    traces = _traces(sweep | {"latency": _EXPORTED}, "Score against latency")
    students = sorted(sweep["confirmation"], key=lambda student: not student["label"].startswith("winner"))
    assert list(traces["student"].x) == [student["latency_ms"] for student in students]
    assert list(traces["student"].y) == [student["test"]["mean"] * 100 for student in students]
    assert list(traces["student"].error_y.array) == [student["test"]["std"] * 100 for student in students]
    assert list(traces["teacher"].x) == [41.3]
    assert traces["student"].hovertext[1].startswith("no-KD baseline<br>accuracy 57.1 ± 0.9 %")


@pytest.mark.parametrize("make", [made_up.sweep, made_up.comparison])
def test_latencies_of_trainings_are_in_the_table_alone(make: Any) -> None:
    assert "Score against latency" not in figures(make())
    assert "Score against size" in figures(make())
    assert "latency" not in texts(render(make()), "dt")
    assert "8.70 ms" in texts(render(made_up.sweep()), "td")
    exported = render(made_up.sweep() | {"latency": _EXPORTED})
    assert "latency" in texts(exported, "dt")


@pytest.mark.parametrize(("fastest", "scale"), [(0.1, "log"), (4.0, None)])
def test_latencies_that_differ_widely_have_a_log_scale(fastest: float, scale: str | None) -> None:
    sweep = made_up.sweep()
    for student in sweep["confirmation"]:
        student["latency_ms"] = fastest
    figure = figures(sweep | {"latency": _EXPORTED})["Score against latency"]
    assert figure.layout.xaxis.type == scale
    assert ("log scale" in figure.layout.xaxis.title.text) == (scale == "log")


def test_the_ladder_of_exports_has_steps_and_times() -> None:
    sweep = made_up.sweep()
    students = sweep["confirmation"]
    for student, ms, mean in zip(students, (4.0, 2.0, 1.0), (0.60, 0.62, 0.55), strict=False):
        student["latency_ms"] = ms
        student["test"]["mean"] = mean
    del students[3:]
    exported = _EXPORTED | {"limit_ms": 5}
    traces = _traces(sweep | {"latency": exported}, "Score against latency")
    steps = traces["Pareto front"]
    assert list(steps.x) == [1.0, 2.0, 41.3]
    assert list(steps.y) == pytest.approx([55.0, 62.0, 69.0])
    assert any("20.6 times faster than the slowest teacher" in text for text in traces["student"].hovertext)
    page = render(sweep | {"latency": exported})
    assert (
        "Latency: of the export (onnx); one row of 13 tokens, one thread, with the tokenizer. The limit is 5 ms."
        in page
    )
    mixed = render(sweep | {"latency": exported | {"formats": ["onnx", "onnx-int8"]}})
    assert mixed.count("Latency: of a student the fastest of onnx, onnx-int8, of a teacher onnx; one row of 13") == 2


def test_importances_are_the_recorded_ones() -> None:
    (bars,) = figures(made_up.sweep())["Importance of the hyper-parameters"].data
    assert dict(zip(bars.y, bars.x, strict=True)) == {
        "learning_rate": 61.0, "method": 25.0, "temperature": 11.0, "alpha": 3.0,
    }  # fmt: skip


def test_the_front_is_the_recorded_one() -> None:
    result = made_up.sweep()
    assert not [title for title in figures(result | {"objectives": ["metric"]}) if title.startswith("Trials: ")]
    complete = [trial for trial in result["trials"] if trial["state"] == "complete"]
    for trial in complete:
        trial |= {"latency_ms": 5.0 + trial["number"], "parameters": 10_000_000 + trial["number"]}
    front = [trial["number"] for trial in complete][:2]
    result |= {"objectives": ["metric", "latency", "parameters"], "front": front}
    assert list(_traces(result, "Trials: score against latency")["Pareto front"].x) == [5.0 + at for at in front]
    assert render(result).count(f"{len(complete)} trials, 2 of them on the front.") == 2
    for trial in result["trials"]:
        trial["latency_ms"] = None
    assert "no trial was completed, so none has a latency" in render(result)


def test_parallel_coordinates_join_the_parameters_of_every_complete_trial() -> None:
    result = made_up.sweep()
    complete = [trial for trial in result["trials"] if trial["state"] == "complete"]
    traces = _traces(result, "Hyper-parameters and scores together")
    lines = [*traces["other trials"].x, *traces["best quarter"].x]
    assert lines.count(None) == len(complete)
    assert list(traces["winner"].y) == [
        "method", "temperature", "learning_rate", "alpha", "layers", "accuracy, validation (%)", None,
    ]  # fmt: skip
    assert traces["winner"].x[5] == 1.0
    assert lines.count(-0.12) == sum("layers" not in trial["params"] for trial in complete) > 0
    result["trials"] = [trial | {"params": {"alpha": 1}} for trial in result["trials"]]
    assert "fewer than two complete trials that differ" in render(result)


def test_learning_curves_show_winner_defaults_and_where_trials_were_pruned() -> None:
    sweep = made_up.sweep()
    drawn = figures(sweep)["Learning curves"].data
    assert {trace.name for trace in drawn} == {"winner", "defaults", "other trials", "stopped early"}
    (winner,) = [trace for trace in drawn if trace.name == "winner"]
    history = sweep["trials"][sweep["best"]["number"]]["history"]
    assert list(winner.y) == [epoch["value"] * 100 for epoch in history]
    (pruned,) = [trace for trace in drawn if trace.name == "stopped early"]
    assert list(pruned.x) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1.0, 20.0], None), ([1.0, 20.1], "log"), ([0.0, 100.0], None), ([-1.0, 100.0], None), ([2, "a"], "category")],
)
def test_a_logarithmic_axis_needs_positive_values_over_a_factor_of_20(values: list[Any], kind: str | None) -> None:
    sweep = made_up.sweep()
    for trial in sweep["trials"]:
        trial["params"] = {"x": values[trial["number"] % 2]}
    assert figures(sweep)["x"].layout.xaxis.type == kind


def test_workers_are_listed_by_number() -> None:
    sweep = made_up.sweep()
    for trial in sweep["trials"]:
        trial["worker"] = f"node-{9 + trial['number'] % 3}"
    axis = figures(sweep)["Trials over workers"].layout.yaxis
    assert list(axis.categoryarray) == ["node-11", "node-10", "node-9"]


def test_phases_that_overlap_are_named_and_gaps_are_shown() -> None:
    def page(seconds: Any) -> str:
        return render(made_up.run() | {"seconds": seconds})

    assert "The phases overlap" in page({"total": 10.0, "by_phase": {"a": 8.0, "b": 8.0}})
    assert "outside these phases\\u003cbr\\u003e5.0 s" in page({"total": 10.0, "by_phase": {"a": 5.0}})
    assert "the phases were not measured" in page(None)
    assert "the phases were not measured" in page({"total": 10.0})


def test_the_figures_of_a_pruned_corpus_hold_the_recorded_counts() -> None:
    drawn = figures(made_up.pruning())
    kept, dropped = drawn["Importance"].data
    assert list(kept.y) == [141, 2900, 700, 100]
    assert list(dropped.y) == [1279, 0, 0, 0]
    assert drawn["Importance"].layout.shapes[0].name == "threshold 0.2300"
    assert drawn["Importance"].layout.shapes[0].showlegend
    (lengths,) = drawn["Prune rate by length"].data
    assert list(lengths.y) == ["1 to 4 (1,000)", "10 or more (4,120)"]
    assert list(lengths.text) == ["75.0 %", "12.8 %"]
    assert list(drawn["Cluster sizes"].data[0].text) == ["25.0 %", "75.0 %"]


def test_texts_in_figures_are_escaped_for_plotly_and_for_the_page() -> None:
    sweep = made_up.sweep()
    sweep["confirmation"][1]["label"] = _EVIL
    for trial in sweep["trials"]:
        trial["params"] = {_EVIL: _EVIL if trial["number"] % 2 else "b"}
    page = render(sweep)
    data = [json.loads(e.text) for e in read(page) if e.attributes.get("type") == "application/json"]
    assert "&lt;script&gt;alert(" in json.dumps(data)
    assert "<script" not in json.dumps(data)
    assert "\\u0007" not in json.dumps(data)
    assert page.count("<script>") == 1
    assert "\x07" not in page


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


def test_scores_have_as_many_digits_as_the_rows_allow() -> None:
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
    assert [split_name(split) for split in ("train", "validation", "test_pruned", "tests")] == [
        "train", "validation", "test, pruned", "tests",
    ]  # fmt: skip
    assert [cut("a\nb c"), cut("abcdef", 4)] == ["a b c", "abc…"]
