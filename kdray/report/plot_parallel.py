"""All hyper-parameters of all trials at once: parallel coordinates, one row each, with the score at the bottom."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kdray.report import plot_rows, svg
from kdray.report.markup import Child, Html, tag
from kdray.report.plot_search import Scored, parameter_scale, trial_words, with_scores
from kdray.report.schema import SweepResult, Trial
from kdray.report.svg import Box, Point, Tick
from kdray.report.words import Metric, plural, setting

_TITLE = "Settings and scores together"
_ROW, _TOP, _RIGHT = 52, 22, 440
_LEFT, _ASIDE = 44, 16  # where an axis begins, and where a line passes whose trial did not have the parameter
_MOST_ROWS, _MOST_WORDS = 14, 8
_BETTER = 0.25  # this share of the trials is drawn in colour


@dataclass(frozen=True)
class _Axis:
    """One row: its name, where a trial crosses it, and what is written below it."""

    name: str
    place: Callable[[Trial], float]
    ticks: Sequence[Tick]


def parallel(result: SweepResult, metric: Metric) -> Html:
    """A line for each complete trial through its parameters down to its score."""
    complete = [pair for pair in with_scores(result["trials"], metric) if pair[0]["state"] == "complete"]
    names = _varied([trial for trial, _ in complete])
    if len(complete) < 2 or not names:
        return svg.no_figure(_TITLE, "Nothing to draw: fewer than two complete trials that differ in a parameter.")
    axes = [_axis(name, [trial for trial, _ in complete]) for name in names[:_MOST_ROWS]]
    axes.append(_score_axis(complete, metric))
    box = Box(left=_LEFT, right=_RIGHT, top=0, bottom=0, width=460, height=_TOP + _ROW * len(axes))
    ranked = sorted(complete, key=lambda pair: metric.gain(pair[1]))  # the best are drawn last, above the others
    better = math.ceil(_BETTER * len(ranked))
    lines = [
        svg.line(
            _points(axes, trial),
            class_=_class(trial, result, is_better=at >= len(ranked) - better),
            hint=trial_words(trial, metric),
        )
        for at, (trial, _) in enumerate(ranked)
    ]
    alternative = (
        f"{_TITLE}: {plural(len(complete), 'complete trial')} through {', '.join(axis.name for axis in axes)}."
    )
    keys = [
        ("line winner", "winner"),
        ("line better", f"the best {_BETTER:.0%}"),
        ("line faint", "other complete trials"),
    ]
    left_out = f"Left out: {', '.join(names[_MOST_ROWS:])}. " if len(names) > _MOST_ROWS else ""
    caption = f"{left_out}Left of an axis: the trial had no such parameter. Pruned and failed trials are not drawn."
    rows = [_row(axis, row) for row, axis in enumerate(axes)]
    picture = svg.drawing(box, lines, rows, alternative=alternative)
    return svg.figure(_TITLE, picture, caption=caption, legend=svg.legend(keys))


def _varied(trials: Sequence[Trial]) -> list[str]:
    """Parameters in which these trials differ; one that only some of them have differs."""
    names = dict.fromkeys(name for trial in trials for name in trial["params"])
    return [name for name in names if len({setting(trial["params"].get(name)) for trial in trials}) > 1]


def _axis(name: str, trials: Sequence[Trial]) -> _Axis:
    values: list[Any] = [trial["params"][name] for trial in trials if name in trial["params"]]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        scale = parameter_scale([float(value) for value in values], _LEFT, _RIGHT)
        ticks = svg.ticks(scale, is_whole=all(value == round(value) for value in values))
        label = f"{name} (log scale)" if scale.is_log else name
        return _Axis(label, lambda t: scale(float(t["params"][name])) if name in t["params"] else _ASIDE, ticks)
    words = sorted({setting(value) for value in values})
    step = (_RIGHT - _LEFT) / len(words)
    places = {word: _LEFT + (at + 0.5) * step for at, word in enumerate(words)}
    longest = int(step / svg.CHARACTER)
    written = [(x, plot_rows.cut(word, max(2, longest))) for word, x in places.items()]
    return _Axis(
        name,
        lambda t: places[setting(t["params"][name])] if name in t["params"] else _ASIDE,
        written if len(words) <= _MOST_WORDS else written[:: math.ceil(len(words) / _MOST_WORDS)],
    )


def _score_axis(complete: Sequence[Scored], metric: Metric) -> _Axis:
    scale = svg.scale([value for _, value in complete], _LEFT, _RIGHT)
    at = {trial["number"]: scale(value) for trial, value in complete}
    return _Axis(f"{metric.name} on select{metric.axis_unit}", lambda trial: at[trial["number"]], svg.ticks(scale))


def _row(axis: _Axis, row: int) -> Html:
    y = _y(row)
    marks: list[Child] = [tag("line", x1=x, x2=x, y1=y - 3, y2=y + 3, class_="axis") for x, _ in axis.ticks]
    words = [svg.text(x, y + 16, label, anchor="middle") for x, label in axis.ticks]
    name = svg.text(_LEFT, y - 8, plot_rows.cut(axis.name, 40), class_="axis-label")
    return tag("g", tag("line", x1=_LEFT, x2=_RIGHT, y1=y, y2=y, class_="axis"), marks, words, name, class_="over")


def _y(row: int) -> int:
    return _TOP + row * _ROW


def _points(axes: Sequence[_Axis], trial: Trial) -> list[Point]:
    return [(axis.place(trial), _y(row)) for row, axis in enumerate(axes)]


def _class(trial: Trial, result: SweepResult, *, is_better: bool) -> str:
    best = result["best"]
    if best is not None and trial["number"] == best["number"]:
        return "winner"
    return "better" if is_better else "faint"
