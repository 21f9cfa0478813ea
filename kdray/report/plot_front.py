"""What a better score costs: the trials of a search with several objectives, and those that no other beats."""

from kdray.report import svg
from kdray.report.markup import Html, markup
from kdray.report.plot_search import state_legend, trial_words
from kdray.report.schema import SweepResult, Trial
from kdray.report.svg import Box
from kdray.report.words import Metric, milliseconds, parameters, plural

_COSTS = {"latency": "latency of one row (ms)", "parameters": "parameters (millions)"}


def fronts(result: SweepResult, metric: Metric) -> list[Html]:
    """One figure for each cost among the objectives; none for a search with one objective."""
    return [_front(cost, result, metric) for cost in result.get("objectives", []) if cost in _COSTS]


def _front(cost: str, result: SweepResult, metric: Metric) -> Html:
    title = f"Score against {cost}"
    measured = [(trial, *place) for trial in result["trials"] if (place := _place(trial, cost))]
    if not measured:
        return svg.no_figure(title, f"Nothing to draw: no trial was finished, so none has a {cost}.")
    front = set(result.get("front") or ())
    box = Box()
    x = svg.scale([at for _, at, _ in measured], box.left, box.right)
    y = svg.scale([value * metric.factor for _, _, value in measured], box.bottom, box.top)
    best = sorted((at, value * metric.factor) for trial, at, value in measured if trial["number"] in front)
    is_flat = len(result.get("objectives", [])) == 2  # of three objectives, a line would join what lies apart
    marks = [svg.line([(x(at), y(value)) for at, value in best], class_="best-so-far")] if is_flat and best[1:] else []
    for trial, at, value in measured:
        hint = f"{trial_words(trial, metric)}; {_cost_words(trial)}"
        mark = svg.MARKS[trial["state"]](x(at), y(value * metric.factor), class_=trial["state"], hint=hint)
        marks.append(markup(mark, svg.ring(x(at), y(value * metric.factor))) if trial["number"] in front else mark)
    y_label = f"{metric.name} on select{metric.axis_unit}"
    frame = svg.frame(box, svg.ticks(x), svg.ticks(y), x_label=_COSTS[cost], y_label=y_label)
    shown = plural(len(measured), "finished trial")
    picture = svg.drawing(box, frame, marks, alternative=f"{title}: {shown}, {len(front)} of them on the front.")
    keys = [*state_legend([trial for trial, _, _ in measured]), ("best", "no trial is better in everything")]
    caption = "Latency was measured while other trials ran." if cost == "latency" else ""
    return svg.figure(title, picture, caption=caption, legend=svg.legend(keys))


def _place(trial: Trial, cost: str) -> tuple[float, float] | None:
    """Where a trial stands: its cost in the unit of the axis, its score."""
    value, latency, count = trial.get("value"), trial.get("latency_ms"), trial.get("parameters")
    given = latency if cost == "latency" else None if count is None else count / 1e6
    return None if value is None or given is None else (given, value)


def _cost_words(trial: Trial) -> str:
    return f"{parameters(trial.get('parameters'))} parameters, {milliseconds(trial.get('latency_ms'))}"
