"""The search itself: the score of every trial, what mattered, and the score against each hyper-parameter."""

from collections.abc import Sequence

from kdray.report import plot_rows, svg
from kdray.report.markup import Html, markup
from kdray.report.plot_rows import Dot
from kdray.report.schema import SweepResult, Trial
from kdray.report.svg import Box, Scale
from kdray.report.words import Metric, number, plural, setting

_STATES = [("complete", "complete"), ("pruned", "pruned (stopped early)"), ("failed", "failed (no score)")]
_SMALL = Box(left=52, right=306, top=12, bottom=164, width=320, height=208)
# A parameter that spans more than this factor was almost surely drawn on a logarithmic scale.
_LOG_RANGE = 20
_MEAN = "The upright tick is the mean of the complete trials."

Scored = tuple[Trial, float]  # a trial and its score in the unit it is shown in


def trial_words(trial: Trial, metric: Metric) -> str:
    """What hovering over a trial says."""
    label = trial.get("label")
    named = f"{trial['number']} ({label})" if label else str(trial["number"])
    return f"trial {named}, {trial['state']}: {metric.score(trial.get('value'))}"


def state_legend(trials: Sequence[Trial]) -> list[tuple[str, str]]:
    """Legend entries of the states that occur."""
    return [entry for entry in _STATES if any(trial["state"] == entry[0] for trial in trials)]


def optimisation(result: SweepResult, metric: Metric) -> Html:
    """Each trial's score against its number, the best so far as a line, pruned and failed trials marked."""
    title = "Score of every trial"
    trials = sorted(result["trials"], key=lambda trial: trial["number"])
    scored = with_scores(trials, metric)
    if not scored:
        return svg.no_figure(title, "Nothing to draw: no trial has a score.")
    box = Box()
    x = svg.scale([trial["number"] for trial in trials], box.left, box.right, margin=0.04)
    y = svg.scale([value for _, value in scored], box.bottom - 14, box.top)
    steps = _best_so_far(scored, trials[-1]["number"], metric)
    marks = [svg.line([(x(at), y(value)) for at, value in steps], class_="best-so-far")] if steps else []
    for trial in trials:
        value = trial.get("value")
        height = box.bottom - 7 if value is None else y(value * metric.factor)
        marks.append(_trial_mark(trial, x(trial["number"]), height, result, metric))
    y_label = f"{metric.name} on select{metric.axis_unit}"
    frame = svg.frame(box, svg.ticks(x, is_whole=True), svg.ticks(y), x_label="trial number", y_label=y_label)
    keys = [*state_legend(trials), ("line best-so-far", "best so far"), ("best", "winner")]
    moves = "rises" if metric.higher_is_better else "falls"
    ends = f"; the best so far {moves} from {number(steps[0][1])} to {number(steps[-1][1])}" if steps else ""
    alternative = f"{title}: {y_label} for {plural(len(trials), 'trial')}{ends}."
    missing = len(trials) - len(scored)
    caption = f"Marks on the lower edge: {plural(missing, 'trial')} without a score." if missing else ""
    picture = svg.drawing(box, frame, marks, alternative=alternative)
    return svg.figure(title, picture, caption=caption, legend=svg.legend(keys))


def with_scores(trials: Sequence[Trial], metric: Metric) -> list[Scored]:
    """The trials that have a score, each with it."""
    return [(trial, value * metric.factor) for trial in trials if (value := trial.get("value")) is not None]


def _trial_mark(trial: Trial, x: float, y: float, result: SweepResult, metric: Metric) -> Html:
    mark = svg.MARKS[trial["state"]](x, y, class_=trial["state"], hint=trial_words(trial, metric))
    return markup(mark, svg.ring(x, y)) if _is_best(trial, result) else mark


def _is_best(trial: Trial, result: SweepResult) -> bool:
    best = result["best"]
    return best is not None and trial["number"] == best["number"]


def _best_so_far(scored: Sequence[Scored], last: int, metric: Metric) -> list[tuple[float, float]]:
    """Corners of the staircase; only complete trials count, as a pruned one's score is of an earlier epoch."""
    corners: list[tuple[float, float]] = []
    for trial, value in scored:
        if trial["state"] != "complete" or (corners and metric.gain(value - corners[-1][1]) <= 0):
            continue
        if corners:
            corners.append((trial["number"], corners[-1][1]))
        corners.append((trial["number"], value))
    return [*corners, (last, corners[-1][1])] if corners else []


def importances(result: SweepResult) -> Html:
    """How much of the variation between trials each hyper-parameter explains."""
    title = "What mattered"
    shares = {name: value for name, value in (result.get("importances") or {}).items() if value is not None}
    note = result.get("importances_note") or ""
    if not shares:
        return svg.no_figure(title, note or "Nothing to draw: importances were not measured.")
    ranked = sorted(((name, value * 100) for name, value in shares.items()), key=lambda pair: -pair[1])
    return plot_rows.bars(title, ranked, x_label="share of the variation between trials (%)", caption=note)


def slices(result: SweepResult, metric: Metric) -> list[Html]:
    """One small figure per hyper-parameter: the score of every trial that had it, against its value."""
    scored = with_scores(result["trials"], metric)
    names = list(dict.fromkeys(name for trial, _ in scored for name in trial["params"]))
    if not names:
        return [svg.no_figure("Score against each hyper-parameter", "Nothing to draw: no scored trial has any.")]
    return [_slice(name, scored, result, metric) for name in names]


def _slice(name: str, scored: Sequence[Scored], result: SweepResult, metric: Metric) -> Html:
    every, scored = len(scored), [pair for pair in scored if name in pair[0]["params"]]
    values = [trial["params"][name] for trial, _ in scored]
    if len({setting(value) for value in values}) == 1:
        return svg.no_figure(name, f"Nothing to draw: {setting(values[0])} in {plural(len(scored), 'scored trial')}.")
    caption = f"{len(scored)} of {plural(every, 'scored trial')} had it." if len(scored) < every else ""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _scatter(name, scored, result, metric, caption=caption)
    rows = [
        (group, _dots(group, name, scored, result, metric)) for group in sorted({setting(value) for value in values})
    ]
    x_label = f"{metric.name} on select{metric.axis_unit}"
    return plot_rows.strip(name, rows, x_label=x_label, caption=f"{caption} {_MEAN}".strip(), width=320)


def _dots(group: str, name: str, scored: Sequence[Scored], result: SweepResult, metric: Metric) -> list[Dot]:
    return [
        Dot(value=value, hint=trial_words(trial, metric), kind=trial["state"], is_best=_is_best(trial, result))
        for trial, value in scored
        if setting(trial["params"][name]) == group
    ]


def _scatter(name: str, scored: Sequence[Scored], result: SweepResult, metric: Metric, *, caption: str) -> Html:
    numbers = [float(trial["params"][name]) for trial, _ in scored]
    x = parameter_scale(numbers, _SMALL.left, _SMALL.right)
    y = svg.scale([value for _, value in scored], _SMALL.bottom, _SMALL.top)
    marks = [
        _trial_mark(trial, x(at), y(value), result, metric) for at, (trial, value) in zip(numbers, scored, strict=True)
    ]
    x_label = f"{plot_rows.cut(name)} (log scale)" if x.is_log else plot_rows.cut(name)
    y_label = f"{metric.name}{metric.axis_unit}"
    x_ticks = svg.ticks(x, about=4, is_whole=all(at == round(at) for at in numbers))
    frame = svg.frame(_SMALL, x_ticks, svg.ticks(y, about=4), x_label=x_label, y_label=y_label)
    extent = f"{name} from {number(min(numbers))} to {number(max(numbers))}, {plural(len(scored), 'trial')}"
    alternative = f"{y_label} on the select split against {extent}."
    return svg.figure(name, svg.drawing(_SMALL, frame, marks, alternative=alternative), caption=caption)


def parameter_scale(numbers: Sequence[float], start: float, end: float) -> Scale:
    """Logarithmic where the values are positive and span more than a factor of 20, otherwise linear."""
    is_log = min(numbers) > 0 and max(numbers) / min(numbers) > _LOG_RANGE
    return svg.scale(numbers, start, end, is_log=is_log)
