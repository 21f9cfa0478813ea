"""Curves over epochs: of all trials of a sweep, and of the terms of one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kdray.report import svg
from kdray.report.markup import Html
from kdray.report.plot_search import trial_words
from kdray.report.schema import RunEpoch, RunResult, SweepResult, Trial
from kdray.report.svg import Box, Point
from kdray.report.words import Metric, number, plural


@dataclass(frozen=True)
class Curve:
    """One line over epochs; `kind` is its class, `mark` the mark at its end (a state, or empty)."""

    points: Sequence[Point]
    kind: str
    hint: str
    mark: str = ""


def curves(
    title: str, lines: Sequence[Curve], *, y_label: str, legend: Sequence[tuple[str, str]], caption: str = ""
) -> Html:
    """The lines over epochs; a line of one point becomes a dot. At least one line with at least one point."""
    box = Box()
    x = svg.scale([at for line in lines for at, _ in line.points], box.left, box.right, margin=0.03)
    y = svg.scale([value for line in lines for _, value in line.points], box.bottom, box.top)
    marks: list[Html] = []
    for line in lines:
        places = [(x(at), y(value)) for at, value in line.points]
        marks.append(svg.line(places, class_=line.kind, hint=line.hint))
        mark = line.mark or ("complete" if len(places) == 1 else "")
        if mark:
            marks.append(svg.MARKS[mark](*places[-1], class_=f"{mark} end", hint=line.hint))
    frame = svg.frame(box, svg.ticks(x, is_whole=True), svg.ticks(y), x_label="epoch", y_label=y_label)
    values = [value for line in lines for _, value in line.points]
    alternative = (
        f"{title}: {y_label} per epoch, {plural(len(lines), 'line')}, "
        f"from {number(min(values))} to {number(max(values))}."
    )
    picture = svg.drawing(box, frame, marks, alternative=alternative)
    return svg.figure(title, picture, legend=svg.legend(legend), caption=caption)


def trial_curves(result: SweepResult, metric: Metric, *, of: Literal["value", "loss"]) -> Html:
    """The score or the loss of every trial over its epochs; the winner and the defaults stand out."""
    title, what = ("Learning curves", "score") if of == "value" else ("Training loss", "loss")
    factor = metric.factor if of == "value" else 1.0
    y_label = f"{metric.name} on select{metric.axis_unit}" if of == "value" else "mean training loss"
    best = result["best"]["number"] if result["best"] else None
    # Drawn last is drawn on top: the winner above the defaults above the others.
    order = sorted(result["trials"], key=lambda trial: (trial["number"] == best, trial.get("label") == "defaults"))
    lines = [_trial_curve(trial, best, factor, metric, of=of) for trial in order]
    lines = [line for line in lines if line.points]
    if not lines:
        return svg.no_figure(title, f"Nothing to draw: no trial has a {what} per epoch.")
    words = {"winner": "winner", "defaults": "defaults", "faint": "other trials"}
    legend = [(f"line {kind}", words[kind]) for kind in words if any(line.kind == kind for line in lines)]
    pruned = [("pruned", "pruned here")] if any(line.mark == "pruned" for line in lines) else []
    return curves(title, lines, y_label=y_label, legend=[*legend, *pruned])


def _trial_curve(
    trial: Trial, best: int | None, factor: float, metric: Metric, *, of: Literal["value", "loss"]
) -> Curve:
    points = [
        (float(epoch["epoch"]), value * factor)
        for epoch in trial.get("history", [])
        if (value := epoch.get(of)) is not None
    ]
    kind = "defaults" if trial.get("label") == "defaults" else "faint"
    return Curve(
        points=points,
        kind="winner" if trial["number"] == best else kind,
        hint=trial_words(trial, metric),
        mark="" if trial["state"] == "complete" else trial["state"],
    )


def run_score(result: RunResult, metric: Metric) -> Html:
    """The metric on the select split after each epoch."""
    title = "Learning curve"
    points = [
        (float(epoch["epoch"]), value * metric.factor)
        for epoch in result["history"]
        if (value := _selected(epoch, metric.name)) is not None
    ]
    if not points:
        return svg.no_figure(title, f"Nothing to draw: {metric.name} was not measured per epoch.")
    y_label = f"{metric.name} on select{metric.axis_unit}"
    line = Curve(points=points, kind="winner", hint=f"{metric.name} on the select split")
    return curves(title, [line], y_label=y_label, legend=[("line winner", "select split")])


def _selected(epoch: RunEpoch, metric: str) -> float | None:
    select = epoch.get("select")
    return select.get(metric) if isinstance(select, dict) else select


def run_terms(result: RunResult, *, of: Literal["terms", "weighted"]) -> Html:
    """Every named part of the loss over the epochs, before or after its weight."""
    title = "Terms of the loss" if of == "terms" else "Terms of the loss, weighted"
    names = list(dict.fromkeys(name for epoch in result["history"] for name in epoch.get(of, {})))
    lines = [_term(result, name, i, of=of) for i, name in enumerate(names)]
    drawn = [line for line in lines if line.points]
    if not drawn:
        return svg.no_figure(title, "Nothing to draw: the terms were not recorded per epoch.")
    legend = [(f"line {line.kind}", line.hint) for line in drawn]
    caption = "Each term before its weight." if of == "terms" else "What each term adds to the loss."
    return curves(title, drawn, y_label="mean per row", legend=legend, caption=caption)


def _term(result: RunResult, name: str, i: int, *, of: Literal["terms", "weighted"]) -> Curve:
    points = [
        (float(epoch["epoch"]), value)
        for epoch in result["history"]
        if (value := epoch.get(of, {}).get(name)) is not None
    ]
    return Curve(points=points, kind=f"series-{i % 7}", hint=name)
