"""The figures of the pages, drawn by plotly.

A new figure is one generator of `Plot` with the decorator `plot`, which names the section of the page it belongs to.
Every text of a figure is shown as it is: `drawn` escapes what plotly would read as HTML.
"""

import html
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, count
from typing import Any, TypeAlias

import plotly.graph_objects as go

from kdray import results
from kdray.errors import listed, plural
from kdray.report import formatting as fmt
from kdray.report.document import Plot, Table, row
from kdray.report.formatting import Metric
from kdray.report.summary import winner_first
from kdray.results import Result, SweepResult, Trial

Drawing: TypeAlias = Callable[[Any, Metric], Iterator[Plot]]
Point: TypeAlias = tuple[str, Any, Any, str]  # its series (a key of `_STYLES`), x, y, and the text at its mark
Students: TypeAlias = results.SweepResult | results.ComparisonResult
_DRAWINGS: defaultdict[str, list[Drawing]] = defaultdict(list)

# The palette of Okabe and Ito: distinguishable with any common color blindness. Marks differ in shape as well.
# `page.js` replaces these colors by those of the dark page.
INK, QUIET, LINE, FAINT = "#1b1f24", "#59626e", "#d9dde3", "#a9b1bb"
BLUE, AMBER, ORANGE, GREEN = "#0072b2", "#a36a00", "#c44900", "#00805f"
_AXIS = {"gridcolor": LINE, "linecolor": QUIET, "zeroline": False, "automargin": True, "title": {"standoff": 8}}
TEMPLATE: dict[str, Any] = {
    "layout": {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif", "size": 13, "color": INK},
        "colorway": [BLUE, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c95a0"],
        "margin": {"l": 48, "r": 16, "t": 8, "b": 44},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
}


def _mark(symbol: str, color: str, size: int = 9) -> dict[str, Any]:
    width = 2 if "open" in symbol else 0
    return {"mode": "markers", "marker": {"symbol": symbol, "color": color, "size": size, "line": {"width": width}}}


def _line(color: str, width: float, **line: str) -> dict[str, Any]:
    return {"mode": "lines", "line": {"color": color, "width": width, **line}}


_STYLES: dict[str, dict[str, Any]] = {
    "best so far": _line(INK, 1.5, dash="dash", shape="hv"),
    "Pareto front": _line(GREEN, 2, shape="hv"),
    "other trials": _line(FAINT, 1),
    "best quarter": _line(GREEN, 1.6),
    "complete": _mark("circle", BLUE, 8),
    "stopped early": _mark("diamond-open", AMBER),
    "failed (no score)": _mark("x-thin-open", ORANGE),
    "winner": _mark("circle-open", INK, 15),
    "student": _mark("circle", BLUE, 11),
    "teacher": _mark("square", AMBER, 11),
    "one seed": _mark("circle", BLUE),
    "mean": _mark("line-ns-open", INK, 22),
}
_STATES = {"complete": "complete", "pruned": "stopped early", "failed": "failed (no score)"}
_ROW = 36  # pixels of a row of bars or marks
_LOG_RANGE = 20  # a parameter over a wider range was almost surely sampled on a logarithmic scale
_COSTS = {"latency": "latency of one row (ms)", "parameters": "parameters (millions)"}


def plot(section: str) -> Callable[[Drawing], Drawing]:
    """Register a figure for a section of the pages."""

    def register(drawing: Drawing) -> Drawing:
        _DRAWINGS[section].append(drawing)
        return drawing

    return register


def plots(section: str, result: Result, metric: Metric) -> list[Plot]:
    """All figures of a section, in the order of their registration."""
    return [made for drawing in _DRAWINGS[section] for made in drawing(result, metric)]


def missing(title: str, reason: str) -> Plot:
    """The reason why there is no figure."""
    return Plot(title, f"Nothing to draw: {reason}")


_COUNTED = ("trial number", "epoch")  # axes of whole numbers


def drawn(
    title: str,
    figure: go.Figure,
    x: str,
    y: str,
    *,
    otherwise: str,
    caption: str = "",
    height: int = 320,
    has_table: bool = True,
) -> Plot:
    """The figure with its axes, a description in words, and its numbers as a table.

    Args:
        otherwise: Why there is nothing to draw, for a figure without points.
        has_table: False where another table of the page holds the numbers.
    """
    traces: Any = figure.data
    points = [(str(t.name or ""), *pair) for t in traces for pair in zip(_ends(t), t.y or (), strict=True)]
    points = [point for point in points if point[1] is not None and point[2] is not None]
    if not points:
        return missing(title, otherwise)
    plain: dict[str, Any] = _escaped(figure.to_plotly_json())
    layout = {key: value for key, value in plain["layout"].items() if key not in ("template", "title")}
    layout["height"] = height
    for axis, name in (("xaxis", x), ("yaxis", y)):
        layout[axis] = {"exponentformat": "e", **layout.get(axis, {}), "title": {"text": _escaped(name)}}
    if x in _COUNTED:
        layout["xaxis"] |= {"tick0": 0, "dtick": 1 + int(max(at for _, at, _ in points)) // 10}
    ends = [_extent(x, [at for _, at, _ in points]), _extent(y, [at for _, _, at in points])]
    words = f"{title}: {plural(len(points), 'point')}; {'; '.join(filter(None, ends))}."
    rows = [row(name, fmt.setting(at), fmt.setting(value)) for name, at, value in points]
    columns = ("series", f"#{x}" if x else "name", f"#{y}" if y else "name")
    numbers = Table(f"Numbers of the figure “{title}”.", columns, rows) if has_table else None
    return Plot(title, caption, {"data": plain["data"], "layout": layout}, words, numbers)


def _ends(trace: Any) -> Sequence[Any]:
    """The places on the horizontal axis: of bars that do not begin at 0, their ends."""
    base = getattr(trace, "base", None)
    return trace.x or () if base is None else [start + length for start, length in zip(base, trace.x, strict=True)]


def _extent(axis: str, values: Sequence[Any]) -> str:
    if _is_numeric(values):
        return f"{axis} from {fmt.number(min(values))} to {fmt.number(max(values))}"
    names = [fmt.cut(str(value), 40) for value in dict.fromkeys(values)]
    return listed(names[:8], len(names))


def _escaped(value: Any) -> Any:
    """Every text as plain text, as plotly reads some HTML; a line feed becomes a line break."""
    if isinstance(value, str):
        return html.escape(fmt.printable(value), quote=False).replace("\n", "<br>")
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no infinity; a score near the largest number overflows in percent
    return [_escaped(inner) for inner in value] if isinstance(value, list | tuple) else value


def _figure(points: Iterable[Point], figure: go.Figure | None = None) -> go.Figure:
    """The points added to a figure, one trace per series."""
    figure, series = figure or go.Figure(), defaultdict[str, list[Point]](list)
    for point in points:
        series[point[0]].append(point)
    for name, style in _STYLES.items():
        if each := series[name]:
            xs, ys, texts = ([point[at] for point in each] for at in (1, 2, 3))
            figure.add_scatter(x=xs, y=ys, hovertext=texts, hoverinfo="text", name=name, **style)
    return figure


def _bars(title: str, shares: Sequence[tuple[str, float]], x: str, caption: str, otherwise: str) -> Plot:
    """One bar per (name, percentage), in the given order."""
    names = ["\n".join(map(fmt.cut, name.split("\n"))) for name, _ in shares]
    values = [value for _, value in shares]
    figure = go.Figure(go.Bar(x=values, y=names, text=[f"{value:.1f} %" for value in values], orientation="h"))
    figure.update_traces(marker_color=BLUE, textposition="outside", cliponaxis=False, hoverinfo="none", name="bar")
    longest = max([1e-9, *values])
    figure.update_xaxes(range=[0, longest * 1.5], tickvals=[0, 25, 50, 75, 100] if longest > 40 else None)
    figure.update_yaxes(autorange="reversed", type="category", ticklabelstandoff=6)
    height = 80 + _ROW * len(shares)
    return drawn(title, figure, x, "", caption=caption, otherwise=otherwise, height=height)


def _add_curve(figure: go.Figure, name: str, pairs: Sequence[tuple[float, float]], **style: Any) -> None:
    """A curve over (epoch, value)."""
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    figure.add_scatter(x=xs, y=ys, name=name, **{"mode": "lines+markers", "showlegend": True, **style})


def _is_numeric(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _is_log(values: Sequence[Any]) -> bool:
    """Whether the values are positive numbers over more than a factor of 20."""
    return _is_numeric(values) and min(values) > 0 and max(values) / min(values) > _LOG_RANGE


def _score(trial: Trial, metric: Metric) -> float | None:
    return None if trial.value is None else trial.value * metric.factor


def _curve(trial: Trial, metric: Metric, of: str) -> list[tuple[Any, float]]:
    """(epoch, score or loss) of a trial."""
    factor = metric.factor if of == "value" else 1.0
    return [(each.epoch, value * factor) for each in trial.history if (value := getattr(each, of)) is not None]


def _words(trial: Trial, metric: Metric) -> str:
    """The text at a trial's mark."""
    named = f"{trial.number} ({trial.label})" if trial.label else str(trial.number)
    costs = [f"{fmt.parameters(trial.parameters)} parameters"] if trial.parameters is not None else []
    costs += [fmt.milliseconds(trial.latency_ms)] if trial.latency_ms is not None else []
    return ", ".join([f"trial {named}, {fmt.state(trial.state)}: {metric.score(trial.value)}", *costs])


def _marks(
    result: SweepResult, metric: Metric, place: Callable[[Trial], tuple[Any, Any]], *series: str
) -> Iterator[Point]:
    """A mark at the place of each trial by state, and a ring around the winner.

    Args:
        series: The series to draw; all where none is given.
    """
    best = result.best.number if result.best else None
    for trial in result.trials:
        x, y = place(trial)
        for name in (_STATES[trial.state], "winner" if trial.number == best else ""):
            if name and x is not None and y is not None and name in (series or _STYLES):
                yield name, x, y, _words(trial, metric)


def _axis(metric: Metric, split: str) -> str:
    return f"{metric.name}, {split}{metric.axis_unit}"


@plot("ladder")
def ladder(result: Students, metric: Metric) -> Iterator[Plot]:
    """The score of students and teachers against their cost; against latency where that of exports was measured."""
    everyone: list[tuple[str, str, float | None, float | None, Any]] = [
        *(("student", s.label, s.test.mean, s.test.std, s) for s in winner_first(result.confirmation)),
        *(("teacher", t.name, t.test, None, t) for t in result.teachers),
    ]
    slowest = max((t.latency_ms for t in result.teachers if t.latency_ms is not None), default=None)
    for cost in _COSTS:
        if cost == "latency" and getattr(result, "latency", None) is None:
            continue
        points, bars = list[Point](), list[float]()
        for kind, label, mean, std, each in everyone:
            if mean is not None and (at := _cost(each, cost)) is not None:
                text = f"{label}\n{metric.name} {metric.score_and_spread(mean, std)}"
                if cost == "latency" and slowest is not None:
                    text += f"\n{slowest / at:.1f} times faster than the slowest teacher"
                points.append((kind, at, mean * metric.factor, text))
                bars += [(std or 0.0) * metric.factor] if kind == "student" else []
        spread = {"type": "data", "array": bars, "thickness": 1}
        steps = _ladder_steps(points, metric) if cost == "latency" else []
        figure = _figure([*points, *steps]).update_traces(selector={"name": "student"}, error_y=spread)
        names = _numbered(figure)
        yield _against_cost(
            f"Score against {'size' if cost == 'parameters' else cost}", figure, cost, _axis(metric, "test"), result,
            caption=f"{names} Bars: ± one standard deviation over seeds.",
            otherwise=f"no student has a score and a {cost}.",
        )  # fmt: skip


def _numbered(figure: go.Figure) -> str:
    """Write a number at every mark of a student or teacher; returns which number stands for whom.

    Of marks that lie on each other, the first has the numbers of all.
    """
    traces: Any = [each for each in figure.data if each.name in ("student", "teacher")]
    heights = [y for trace in traces for y in trace.y]
    step = (max(heights, default=0.0) - min(heights, default=0.0)) / 25 or 1.0
    names, places = list[str](), defaultdict[Any, list[str]](list)
    for trace in traces:
        for x, y, text in zip(trace.x, trace.y, trace.hovertext, strict=True):
            names.append(text.partition("\n")[0])
            places[f"{x:.2g}", round(y / step)].append(str(len(names)))
    shown = {numbers[0]: ", ".join(numbers) for numbers in places.values()}
    number = count(1)
    for trace in traces:
        texts = [shown.get(str(next(number)), "") for _ in trace.x]
        trace.update(mode="markers+text", text=texts, textposition="middle right", cliponaxis=False)
    return f"{'; '.join(f'{at}: {fmt.cut(name, 60)}' for at, name in enumerate(names, start=1))}."


def _against_cost(
    title: str, figure: go.Figure, cost: str, y: str, result: Students, *, caption: str, otherwise: str
) -> Plot:
    """A score against `latency` or `parameters`; places that differ by more than 20 times have a log scale."""
    traces: Any = figure.data
    x, is_log = _COSTS[cost], _is_log([at for trace in traces for at in trace.x])
    if is_log:
        figure.update_xaxes(type="log")
        x += ", log scale"
    caption = f"{caption} {_remark(getattr(result, 'latency', None), cost)}".strip()
    return drawn(title, figure, x, y, caption=caption, otherwise=otherwise, has_table=False)


def _ladder_steps(points: Sequence[Point], metric: Metric) -> list[Point]:
    """Those that nothing faster equals or beats, from the fastest on."""
    steps, best = list[Point](), None
    for _, x, y, _ in sorted(points, key=lambda point: (point[1], -metric.gain(point[2]))):
        if best is None or metric.gain(y - best) > 0:
            steps.append(("Pareto front", x, y, ""))
            best = y
    return steps


def _remark(exported: results.ExportedLatency | None, cost: str) -> str:
    """How a cost was measured."""
    if cost != "latency" or exported is None:
        return results.ROUGH_LATENCY if cost == "latency" else ""
    limit = "" if exported.limit_ms is None else f"The limit is {exported.limit_ms:g} ms. "
    warning = f"{exported.warning[:1].upper()}{exported.warning[1:]}"
    return f"{exported.how()} {limit}Scores are those before the export. {warning}".strip()


def _cost(of: Any, cost: str) -> float | None:
    """Latency in milliseconds or parameters in millions of a trial, student or teacher."""
    millions = None if of.parameters is None else of.parameters / 1e6
    return of.latency_ms if cost == "latency" else millions


@plot("confirmation")
def seeds(result: Students, metric: Metric) -> Iterator[Plot]:
    """Every seed's test score, one row per student."""
    points: list[Point] = []
    for at, student in enumerate(winner_first(result.confirmation)):
        values = student.test.values
        names = student.seeds if len(student.seeds) == len(values) else range(len(values))
        y, scores = f"{at + 1}. {fmt.cut(student.label)}", [value for value in values if value is not None]
        for name, value in zip(names, values, strict=True):
            if value is not None:
                points.append(("one seed", value * metric.factor, y, f"seed {name}: {metric.score(value)}"))
        if scores:
            mean = math.fsum(scores) / len(scores)
            points.append(("mean", mean * metric.factor, y, f"mean {metric.score(mean)}"))
    figure, height = _figure(points).update_yaxes(autorange="reversed"), 110 + _ROW * len(result.confirmation)
    reason = "the scores of the single seeds were not recorded."
    yield drawn("Every seed", figure, _axis(metric, "test"), "", otherwise=reason, height=height)


@plot("search")
def optimization(result: SweepResult, metric: Metric) -> Iterator[Plot]:
    """Each trial's score against its number, with the best score so far."""
    trials = sorted(result.trials, key=lambda trial: trial.number)
    scores = [score for trial in trials if (score := _score(trial, metric)) is not None]
    low = min(scores, default=0.0) - 0.05 * (max(scores, default=0.0) - min(scores, default=0.0) or 1)

    def place(trial: Trial) -> tuple[int, float | None]:
        return trial.number, low if trial.value is None else _score(trial, metric)

    complete = [(t.number, s) for t in trials if t.state == "complete" and (s := _score(t, metric)) is not None]
    best = accumulate((score for _, score in complete), max if metric.higher_is_better else min)
    steps = [("best so far", number, score, "") for (number, _), score in zip(complete, best, strict=True)]
    figure = _figure([*steps, *_marks(result, metric, place)] if scores else [])
    without = len(trials) - len(scores)
    caption = f"Marks on the lower edge: {plural(without, 'trial')} without a score." if without else ""
    y, reason = _axis(metric, "validation"), "no trial has a score."
    title = "Score of every trial"
    yield drawn(title, figure, "trial number", y, caption=caption, otherwise=reason, has_table=False)


@plot("search")
def fronts(result: SweepResult, metric: Metric) -> Iterator[Plot]:
    """The trials of a search with several objectives and the recorded Pareto front."""
    for cost in (cost for cost in result.objectives if cost in _COSTS):
        title = f"Trials: score against {cost}"
        places = {t.number: (_cost(t, cost), _score(t, metric)) for t in result.trials}
        front = sorted(places[at] for at in result.front or () if None not in places.get(at, (None,)))
        marks = _marks(result, metric, lambda trial, places=places: places[trial.number])
        figure = _figure([*marks, *(("Pareto front", x, y, "") for x, y in front)])
        if len(result.objectives) > 2:  # the steps between the trials of a front in three dimensions would mislead
            figure.update_traces(selector={"name": "Pareto front"}, **_mark("star", GREEN))
        trials = sum(None not in place for place in places.values())
        caption = f"{plural(trials, 'trial')}, {len(front)} of them on the front."
        reason = f"no trial was completed, so none has a {cost}."
        y = _axis(metric, "validation")
        yield _against_cost(title, figure, cost, y, result, caption=caption, otherwise=reason)


@plot("search")
def importances(result: SweepResult, metric: Metric) -> Iterator[Plot]:
    """The share of the variation between trials that each hyper-parameter explains, as recorded."""
    title, note = "Importance of the hyper-parameters", result.importances_note
    shares = [(name, value * 100) for name, value in (result.importances or {}).items() if value is not None]
    ranked = sorted(shares, key=lambda pair: -pair[1])
    yield _bars(title, ranked, "variation explained (%)", note or "", note or "importances were not measured.")


@plot("search")
def parallel(result: SweepResult, metric: Metric) -> Iterator[Plot]:
    """All hyper-parameters of all complete trials: one row per parameter, one line per trial, the score at the end.

    The figures of this kind of optuna and of plotly need WebGL, and leave out trials without one of the parameters.
    """
    title = "Hyper-parameters and scores together"
    complete = [trial for trial in result.trials if trial.state == "complete" and trial.value is not None]
    winner = result.best.number if result.best else None
    complete.sort(key=lambda trial: (trial.number == winner, metric.gain(trial.value or 0.0)))
    values = {name: [t.params[name] for t in complete if name in t.params] for t in complete for name in t.params}
    names = [n for n, each in values.items() if len({*map(fmt.setting, each)}) > 1 or len(each) < len(complete)]
    if len(complete) < 2 or not names:
        yield missing(title, "fewer than two complete trials that differ in a parameter.")
        return
    score = _axis(metric, "validation")
    axes = {name: _scale(values[name]) for name in names} | {score: _scale([_score(t, metric) for t in complete])}
    labels, points = [fmt.cut(name) for name in axes], list[Point]()
    for rank, trial in enumerate(complete):
        kind = "best quarter" if rank >= len(complete) * 0.75 else "other trials"
        crossed = {**trial.params, score: _score(trial, metric)}
        for label, (name, (place, _)) in zip(labels, axes.items(), strict=True):
            points.append((kind, place(crossed[name]) if name in crossed else -0.12, label, _words(trial, metric)))
        points.append((kind, None, None, ""))  # ends the line
    ticks = [(at, label, word) for label, (_, each) in zip(labels, axes.values(), strict=True) for at, word in each]
    at, y, words = (list(each) for each in zip(*ticks, strict=True))
    best = points[-len(axes) - 1 :]
    figure = _figure(points)
    figure.add_scatter(x=[x for _, x, _, _ in best], y=[y for _, _, y, _ in best], name="winner", **_line(BLUE, 3))
    figure.add_scatter(x=at, y=y, text=words, mode="markers+text", textposition="bottom center", showlegend=False,
                       name="ticks", hoverinfo="skip", cliponaxis=False,
                       marker=_mark("line-ns-open", QUIET)["marker"])  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.2, 1.15])
    figure.update_yaxes(categoryarray=labels, categoryorder="array", type="category", range=[len(axes) - 0.4, -0.3])
    caption = "Left of an axis: the trial has no such parameter. Trials that failed or were stopped early are left out."
    yield drawn(title, figure, "", "", caption=caption, otherwise="", height=80 + 50 * len(axes), has_table=False)


def _scale(values: Sequence[Any]) -> tuple[Callable[[Any], float], list[tuple[float, str]]]:
    """The place of a value between 0 and 1, and (place, text) of the ticks."""
    if _is_numeric(values):
        bend = math.log if _is_log(values) else float
        low, high = min(values), max(values)
        width = bend(high) - bend(low) or 1.0
        return (lambda value: (bend(value) - bend(low)) / width), [(0.0, fmt.number(low)), (1.0, fmt.number(high))]
    words = sorted({fmt.setting(value) for value in values})
    places = {word: at / max(1, len(words) - 1) for at, word in enumerate(words)}
    shown = words if len(words) <= 5 else [words[0], words[-1]]
    return (lambda value: places[fmt.setting(value)]), [(places[word], fmt.cut(word, 12)) for word in shown]


@plot("search")
def learning_curves(result: SweepResult, metric: Metric) -> Iterator[Plot]:
    """The score and the loss of every trial over its epochs."""
    best, axis = result.best.number if result.best else None, _axis(metric, "validation")
    kinds = {t.number: "winner" if t.number == best else t.label or "other trials" for t in result.trials}
    trials = [trial for trial in result.trials if trial.state != "failed"]
    trials.sort(key=lambda trial: (kinds[trial.number] == "winner", kinds[trial.number] == "defaults"))  # drawn last
    for title, of, y in (("Learning curves", "value", axis), ("Training loss", "loss", "mean training loss per row")):
        figure = go.Figure()
        for trial in trials:
            if not (pairs := _curve(trial, metric, of)):
                continue
            kind = kinds[trial.number]
            color = {"winner": BLUE, "defaults": AMBER}.get(kind, FAINT)
            style = _line(color, 1.2 if color == FAINT else 2.8) | {"marker": {"size": 5, "color": color}}
            is_first = all(trace.name != kind for trace in figure.data)
            style |= {"legendgroup": kind, "showlegend": is_first, "mode": "lines+markers"}
            _add_curve(figure, kind, pairs, hovertext=_words(trial, metric), hoverinfo="text+x+y", **style)
        ends = [(each, _curve(each, metric, of)[-1:]) for each in trials if each.state == "pruned"]
        _figure([(_STATES["pruned"], *end, _words(each, metric)) for each, last in ends for end in last], figure)
        reason = f"no trial has a {'score' if of == 'value' else of} per epoch."
        yield drawn(title, figure, "epoch", y, otherwise=reason)


@plot("search")
def slices(result: SweepResult, metric: Metric) -> Iterator[Plot]:
    """The score against each hyper-parameter."""
    scored = [trial for trial in result.trials if trial.value is not None and trial.state != "failed"]
    names = list(dict.fromkeys(name for trial in scored for name in trial.params))
    if not names:
        yield missing("Score against each hyper-parameter", "no scored trial has any.")
    for name in names:
        values = [trial.params[name] for trial in scored if name in trial.params]
        words, is_numeric = sorted({fmt.setting(value) for value in values}), _is_numeric(values)

        def place(trial: Trial, name: str = name, is_numeric: bool = is_numeric) -> tuple[Any, Any]:
            if name not in trial.params:
                return None, None
            return trial.params[name] if is_numeric else fmt.setting(trial.params[name]), _score(trial, metric)

        series = ("complete", "stopped early", "winner")
        figure = _figure(_marks(result, metric, place, *series) if len(words) > 1 else [])
        figure.update_layout(showlegend=False)
        if not is_numeric:
            figure.update_xaxes(type="category", categoryorder="array", categoryarray=words)
        elif _is_log(values):
            figure.update_xaxes(type="log")
        having = len(values)
        caption = "" if having == len(scored) else f"{having} of {plural(len(scored), 'scored trial')} have it."
        x, y = fmt.cut(name) + (" (log scale)" if _is_log(values) else ""), _axis(metric, "validation")
        reason = f"its value is {words[0]} in {plural(having, 'scored trial')}."
        yield drawn(name, figure, x, y, caption=caption, otherwise=reason, height=280, has_table=False)


@plot("sweep time")
def timeline(result: SweepResult, metric: Metric) -> Iterator[Plot]:
    """The time of every trial, one row per worker."""
    title, figure = "Trials over workers", go.Figure(layout={"barmode": "overlay"})
    starts = [(trial, trial.started, trial.ended) for trial in result.trials]
    timed = [(t, start, end) for t, start, end in starts if start is not None and end is not None and end >= start]
    first, last = min((start for _, start, _ in timed), default=0.0), max((end for _, _, end in timed), default=0.0)
    units = {180: (1, "seconds"), 3 * 3600: (60, "minutes"), math.inf: (3600, "hours")}
    divisor, unit = next(unit for limit, unit in units.items() if last - first < limit)
    for state, name in _STATES.items():
        if group := [each for each in timed if each[0].state == state]:
            pattern = {"shape": {"complete": "", "pruned": "/", "failed": "x"}[state]}
            figure.add_bar(
                orientation="h", name=name, y=[fmt.cut(trial.worker or "unknown") for trial, _, _ in group],
                base=[(start - first) / divisor for _, start, _ in group],
                x=[(end - start) / divisor for _, start, end in group],
                text=[str(trial.number) for trial, _, _ in group], textposition="inside", insidetextanchor="middle",
                hovertext=[f"{_words(trial, metric)}, {fmt.duration(end - start)}" for trial, start, end in group],
                hoverinfo="text", marker={"color": _STYLES[name]["marker"]["color"], "pattern": pattern},
            )  # fmt: skip
    workers = sorted({fmt.cut(trial.worker or "unknown") for trial, _, _ in timed}, key=lambda name: (len(name), name))
    figure.update_yaxes(type="category", categoryarray=workers[::-1], categoryorder="array")
    left_out = len(result.trials) - len(timed)
    caption = f"Left out: {plural(left_out, 'trial')} without a start or an end." if left_out else ""
    x, height = f"{unit} since the first start", 110 + _ROW * len(workers)
    reason = "no trial has both a start and an end."
    yield drawn(title, figure, x, "", caption=caption, otherwise=reason, height=height, has_table=False)


@plot("time")
def phases(result: Result, metric: Metric) -> Iterator[Plot]:
    """The seconds of each phase and of the rest."""
    total = result.seconds.total if result.seconds else None
    parts = [(name, value) for name, value in result.seconds.by_phase.items() if value] if result.seconds else []
    is_resumed = bool(result.commands and result.commands.first)
    covered = math.fsum(value for _, value in parts)
    caption = f"Total {fmt.duration(total)}{', of the command that ended the sweep' if is_resumed else ''}."
    if total is not None and covered > total * 1.01:
        caption += " The phases overlap, so their sum is larger."
    elif parts and total is not None and total - covered > total * 0.01:
        parts.append(("outside these phases", total - covered))
    whole = math.fsum(value for _, value in parts)
    named = [(f"{name}\n{fmt.duration(value)}", 100 * value / whole) for name, value in parts]
    yield _bars("Time of each phase", named, "time (%)", caption, "the phases were not measured.")


@plot("pruning")
def importance(result: Result, metric: Metric) -> Iterator[Plot]:
    """How many units of each importance were kept and dropped."""
    spread, threshold = (result.prune.importance, result.prune.threshold) if result.prune else (None, None)
    if spread is None:
        return
    edges = list(zip(spread.edges[:-1], spread.edges[1:], strict=True))
    figure = go.Figure(layout={"barmode": "stack", "bargap": 0.05})
    for name, counts, color in (("kept", spread.kept, BLUE), ("dropped", spread.dropped, "#e69f00")):
        middles, widths = [(low + high) / 2 for low, high in edges], [high - low for low, high in edges]
        figure.add_bar(x=middles, y=list(counts), width=widths, name=name, marker_color=color)
    if threshold is not None:
        dashed = {"color": INK, "dash": "dash"}
        figure.add_vline(threshold, line=dashed, name=f"threshold {threshold:.4f}", showlegend=True)
    caption = f"{sum(spread.kept):,} units kept, {sum(spread.dropped):,} dropped. Kept units left of the threshold "
    caption += "are cluster medoids, or the last of their text or class."
    yield drawn("Importance", figure, "importance", "units", caption=caption, otherwise="the corpus has no units.")


@plot("pruning")
def lengths(result: Result, metric: Metric) -> Iterator[Plot]:
    """The prune rate by number of words, and the sizes of clusters."""
    bands, clusters = (result.prune.lengths, result.prune.clusters) if result.prune else (None, None)
    if bands is not None:
        used = [(f"{_band(b)} ({b.units:,})", 100 * (1 - b.kept / b.units)) for b in bands if b.units]
        title, caption = "Prune rate by length", "Rows: words of a unit (number of such units)."
        yield _bars(title, used, "dropped units (%)", caption, "the corpus has no units.")
    if clusters is not None:
        total = sum(band.clusters for band in clusters)
        used = [(f"{_band(b)} ({b.clusters:,})", 100 * b.clusters / total) for b in clusters if b.clusters]
        title, caption = "Cluster sizes", f"Rows: units of a cluster (number of such clusters; {total:,} in total)."
        yield _bars(title, used, "clusters (%)", caption, "the graph has no clusters.")


def _band(band: results.PruneLengths | results.PruneSizes) -> str:
    if band.last is None:
        return f"{band.first} or more"
    return str(band.first) if band.first == band.last else f"{band.first} to {band.last}"


@plot("training")
def run_curves(result: results.RunResult, metric: Metric) -> Iterator[Plot]:
    """The validation score and the terms of the loss after each epoch."""
    name, history = metric.name, result.history
    scores = [e.validation if isinstance(e.validation, dict) else {name: e.validation} for e in history]
    shown = [{name: value * metric.factor} if (value := by.get(name)) is not None else {} for by in scores]
    for title, curves, y, caption in (
        ("Learning curve", shown, _axis(metric, "validation"), ""),
        ("Terms of the loss", [e.terms for e in history], "mean per row", "Each term before its weight."),
        ("Terms of the loss, weighted", [e.weighted for e in history], "mean per row", "The part of each in the loss."),
    ):
        figure = go.Figure()
        for at, term in enumerate(dict.fromkeys(term for by in curves for term in by)):
            every = [(each.epoch, by.get(term)) for each, by in zip(history, curves, strict=True)]
            pairs = [(epoch, value) for epoch, value in every if value is not None]
            _add_curve(figure, term, pairs, line={"dash": ("solid", "dash", "dot")[at % 3]})
        yield drawn(title, figure, "epoch", y, caption=caption, otherwise="not recorded per epoch.")
