"""Tables of a sweep: the students trained again, every trial, and the trials that failed."""

from collections.abc import Collection, Sequence

from kdray.report import plot_rows, svg
from kdray.report.markup import Child, Html, markup, tag
from kdray.report.plot_rows import Dot
from kdray.report.schema import Confirmed, Difference, Spread, SweepResult, Trial
from kdray.report.tables import Cell, Row, columns, table
from kdray.report.verdict import is_same, not_beaten, winner_first
from kdray.report.words import (
    NOT_MEASURED,
    Metric,
    duration,
    milliseconds,
    number,
    p_value,
    parameters,
    plural,
    setting,
    share,
)


def confirmation(students: Sequence[Confirmed], metric: Metric, *, majority: float | None) -> Html:
    """The students trained again on several seeds, the winner first, those that it does not beat marked.

    A comparison has no winner: its students stay in their order, and none is marked.

    Args:
        majority: What always answering the most frequent class scores on the report split, if it was measured.
    """
    ordered = winner_first(students)
    winner = ordered[0] if ordered[0]["label"].startswith("winner") else None
    ahead = set(not_beaten(students, metric)) if winner else set[str]()
    headings = columns(
        "student", f"#{metric.name} on report", "#difference", "#on select", "#seeds", "#retention",
        "#distillation ratio", "#parameters", "#latency",
    )  # fmt: skip
    rows = [
        _student(student, metric, is_winner=student is winner, badge=_badge(student, winner, ahead))
        for student in ordered
    ]
    if majority is not None:
        empty = [Cell("–")] * (len(headings) - 2)
        rows.append(Row(cells=["always the most frequent class", metric.score(majority), *empty]))
    return table(headings, rows, caption="Students trained again; mean ± standard deviation over the seeds.")


def _badge(student: Confirmed, winner: Confirmed | None, ahead: Collection[str]) -> str:
    if winner is None or student is winner:
        return ""
    if is_same(student, winner):
        return "the same settings as the winner"
    return "not beaten by the winner" if student["label"] in ahead else ""


def _student(student: Confirmed, metric: Metric, *, is_winner: bool, badge: str) -> Row:
    method = student.get("method") or ""
    named = method if method not in student["label"] else ""
    remark = student.get("note") or ""
    marked = tag("span", badge, class_="badge") if badge else ""
    lines: list[Child] = [tag("div", part, class_="under") for part in (named, marked, remark) if part]
    select = student.get("select")
    cells = [
        Cell([tag("strong", student["label"]), *lines]),
        _spread(student["report"], metric),
        _difference(student.get("difference"), metric),
        _spread(select, metric) if select else NOT_MEASURED,
        str(len(student["seeds"])),
        share(student.get("retention")),
        _ratio(student.get("distillation_ratio")),
        parameters(student.get("parameters")),
        milliseconds(student.get("latency_ms")),
    ]
    return Row(cells=cells, class_="winner-row" if is_winner else "")


def _spread(spread: Spread, metric: Metric) -> str:
    return metric.score_and_spread(spread["mean"], spread.get("std"))


def _ratio(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.2f}"


def _difference(difference: Difference | None, metric: Metric) -> Cell | str:
    if difference is None:
        return "–"
    test = f", {test}" if (test := difference.get("test")) else ""
    words = f"to {difference['to']}, {p_value(difference.get('p_value'))}{test}"
    return Cell([metric.difference(difference["mean"]), tag("div", words, class_="under")], key=difference["mean"])


def seeds(students: Sequence[Confirmed], metric: Metric) -> Html:
    """Every seed's score on the report split, a row per student."""
    title = "Every seed"
    rows = [(student["label"], _seed_dots(student, metric)) for student in winner_first(students)]
    if not any(dots for _, dots in rows):
        return svg.no_figure(title, "Nothing to draw: the scores of the single seeds were not recorded.")
    x_label = f"{metric.name} on report{metric.axis_unit}"
    return plot_rows.strip(title, rows, x_label=x_label, caption="One dot per seed; the upright tick is their mean.")


def _seed_dots(student: Confirmed, metric: Metric) -> list[Dot]:
    values = student["report"].get("values", [])
    names = student["seeds"] if len(student["seeds"]) == len(values) else range(len(values))
    return [
        Dot(value=value * metric.factor, hint=f"{student['label']}, seed {seed}: {metric.score(value)}")
        for seed, value in zip(names, values, strict=True)
        if value is not None
    ]


def trials(result: SweepResult, metric: Metric) -> Html:
    """Every trial with its hyper-parameters; sortable."""
    names = list(dict.fromkeys(name for trial in result["trials"] for name in trial["params"]))
    headings = columns(
        "trial", "state", f"#{metric.name} on select", "#on report", *(f"#{name}" for name in names),
        "#epochs", "#time", "worker", "digest",
    )  # fmt: skip
    best = result["best"]["number"] if result["best"] else None
    rows = [_trial(trial, names, metric, is_best=trial["number"] == best) for trial in result["trials"]]
    return table(headings, rows, caption=f"All {plural(len(rows), 'trial')}.", is_sortable=True)


def _trial(trial: Trial, names: Sequence[str], metric: Metric, *, is_best: bool) -> Row:
    value, report, seconds, epochs = (trial.get(key) for key in ("value", "report", "seconds", "epochs"))
    label = " ".join(words for words in (trial.get("label") or "", "winner" if is_best else "") if words)
    named = f"{trial['number']} {label}".rstrip()
    cells = [
        Cell(named, key=trial["number"]),
        tag("span", trial["state"], class_=f"state {trial['state']}"),
        Cell(metric.score(value), key=value),
        Cell(metric.score(report), key=report),
        *(_parameter(trial, name) for name in names),
        NOT_MEASURED if epochs is None else number(float(epochs)),
        Cell(duration(seconds), key=seconds),
        trial.get("worker") or NOT_MEASURED,
        tag("code", digest[:12]) if (digest := trial.get("digest")) else NOT_MEASURED,
    ]
    return Row(cells=cells, class_="winner-row" if is_best else "", anchor=f"trial-{trial['number']}")


def _parameter(trial: Trial, name: str) -> Cell | str:
    if name not in trial["params"]:
        return "–"
    value = trial["params"][name]
    return Cell(setting(value), key=float(value) if isinstance(value, int | float) else None)


def failures(result: SweepResult) -> Html:
    """The failed trials with their hyper-parameters and errors, or the sentence that none failed."""
    failed = [trial for trial in result["trials"] if trial["state"] == "failed"]
    if not failed:
        return tag("p", "No trial failed.")
    return markup(*(_failure(trial) for trial in failed))


def _failure(trial: Trial) -> Html:
    given = ", ".join(f"{name} = {setting(value)}" for name, value in trial["params"].items()) or "no hyper-parameters"
    error = trial.get("error") or "The error was not recorded."
    return tag("article", tag("h3", f"Trial {trial['number']}"), tag("p", given), tag("pre", error), class_="failure")
