"""Where the seconds went: trials over workers, and phases."""

import re
from collections.abc import Sequence

from kdray.report import plot_rows, svg
from kdray.report.markup import Html
from kdray.report.plot_rows import Span
from kdray.report.plot_search import state_legend, trial_words
from kdray.report.schema import Seconds, SweepResult, Trial
from kdray.report.words import Metric, duration, plural, share

_SIGNS = {"complete": "", "pruned": "◇", "failed": "×"}  # so that colour is not all that tells them apart
_MOST_PARTS = 7  # as many as the palette has distinguishable colours


def timeline(result: SweepResult, metric: Metric) -> Html:
    """When each trial ran, and on which worker."""
    title = "Trials over workers"
    timed = [trial for trial in result["trials"] if _is_timed(trial)]
    if not timed:
        return svg.no_figure(title, "Nothing to draw: no trial has both a start and an end.")
    origin = min(trial.get("started") or 0.0 for trial in timed)
    workers: dict[str, list[Span]] = {}
    for trial in sorted(timed, key=lambda trial: trial.get("started") or 0.0):
        workers.setdefault(trial.get("worker") or "unknown", []).append(_span(trial, origin, metric))
    missing = len(result["trials"]) - len(timed)
    caption = f"Left out: {plural(missing, 'trial')} without a start or an end." if missing else ""
    legend = svg.legend([(f"span {state}", words) for state, words in state_legend(timed)])
    return plot_rows.timeline(title, sorted(workers.items(), key=_numbered), caption=caption, legend=legend)


def _numbered(worker: tuple[str, list[Span]]) -> list[tuple[int, str]]:
    """Sorts `node-9` before `node-10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", worker[0])]


def _is_timed(trial: Trial) -> bool:
    started, ended = trial.get("started"), trial.get("ended")
    return started is not None and ended is not None and ended >= started


def _span(trial: Trial, origin: float, metric: Metric) -> Span:
    started, ended = trial.get("started") or 0.0, trial.get("ended") or 0.0
    return Span(
        start=started - origin,
        end=ended - origin,
        kind=trial["state"],
        name=f"{_SIGNS[trial['state']]}{trial['number']}",
        hint=f"{trial_words(trial, metric)}, {duration(ended - started)}",
    )


def phases(seconds: Seconds | None) -> Html:
    """One bar of all phases; what no phase claims is shown as the rest."""
    title = "Where the seconds went"
    measured = [(name, value) for name, value in (seconds or {}).get("by_phase", {}).items() if value]
    if seconds is None or not measured:
        return svg.no_figure(title, "Nothing to draw: the phases were not measured.")
    total, claimed = seconds["total"], sum(value for _, value in measured)
    parts = _largest(measured)
    caption = f"In all {duration(total)}."
    if total is not None and claimed > total * 1.01:
        caption += " The phases overlap, so together they are longer."
    elif total is not None and total - claimed > total * 0.01:
        parts.append(("outside these phases", total - claimed))
    whole = sum(value for _, value in parts)
    worded = [(name, value, f"{duration(value)} ({share(value / whole)})") for name, value in parts]
    return plot_rows.stacked(title, worded, x_label="time", caption=caption)


def _largest(measured: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The phases in their order; those too short for a colour of their own are added up."""
    kept = {name for name, _ in sorted(measured, key=lambda part: -part[1])[: _MOST_PARTS - 2]}
    parts = [(name, value) for name, value in measured if name in kept]
    rest = [value for name, value in measured if name not in kept]
    return [*parts, (f"{plural(len(rest), 'shorter phase')}", sum(rest))] if rest else parts
