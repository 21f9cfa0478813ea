"""Where the numbers come from: teachers, pruning, stages, settings and commands."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from kdray.report import plot_prune
from kdray.report.markup import Child, Html, markup, tag
from kdray.report.page import figures
from kdray.report.schema import Best, Commands, Prune, PruneExample, Result, Stage, Teacher
from kdray.report.tables import Cell, Row, columns, facts, table
from kdray.report.words import NOT_MEASURED, Metric, count, duration, milliseconds, parameters, setting, share

_SHOWN_EXAMPLES = 20


def teachers(records: Sequence[Teacher], metric: Metric) -> Html:
    """Each teacher beside the majority class."""
    if not records:
        return tag("p", "Teachers: not measured.", class_="nothing")
    headings = columns(
        "teacher", f"#{metric.name} on report", "#on select", "#majority class on report", "#parameters", "#latency"
    )
    rows = [_teacher(record, metric) for record in records]
    return table(headings, rows, caption="Teachers, and what always answering the most frequent class scores.")


def _teacher(record: Teacher, metric: Metric) -> Row:
    report, majority = record.get("report"), record.get("majority")
    is_weak = report is not None and majority is not None and metric.gain(report - majority) <= 0
    badge = (
        tag("div", tag("span", "does not beat the majority class", class_="badge"), class_="under") if is_weak else ""
    )
    cells = [
        Cell([tag("strong", record["name"]), badge]),
        metric.score(report),
        metric.score(record.get("select")),
        metric.score(majority),
        parameters(record.get("parameters")),
        milliseconds(record.get("latency_ms")),
    ]
    return Row(cells=cells)


def prune(record: Prune | None) -> Html:
    """What pruning kept, per class where known, and rows with the pruned units struck out."""
    if record is None:
        return tag(
            "p", "Pruning: not measured (the corpus was used whole, or the sweep did not record it).", class_="nothing"
        )
    units, kept, rate = record["units"], record["kept"], record.get("rate")
    rate = (units - kept) / units if rate is None and units else rate
    summary = facts(
        [
            ("policy", record["policy"]),
            ("level", record["level"]),
            ("units kept", f"{count(kept)} of {count(units)}"),
            ("prune rate", share(rate)),
        ],
        is_short=True,
    )
    classes = record.get("per_class") or {}
    per_class = _per_class(classes) if classes else tag("p", "Prune rate per class: not measured.", class_="nothing")
    near = record.get("nearest")
    return markup(
        summary,
        figures(*plot_prune.figures(record)),
        per_class,
        _examples(record.get("examples", [])),
        plot_prune.nearest(near) if near else "",
    )


def _per_class(classes: Mapping[str, float | dict[str, float | None] | None]) -> Html:
    rows = [Row(cells=[name, *_class_cells(value)]) for name, value in classes.items()]
    return table(columns("class", "#units", "#kept", "#prune rate"), rows, caption="Pruning per class.")


def _class_cells(value: float | dict[str, float | None] | None) -> list[str]:
    if not isinstance(value, dict):
        return [NOT_MEASURED, NOT_MEASURED, share(value)]
    units, kept, rate = (value.get(key) for key in ("units", "kept", "rate"))
    if rate is None and units and kept is not None:
        rate = (units - kept) / units
    return [*(NOT_MEASURED if amount is None else f"{amount:,.0f}" for amount in (units, kept)), share(rate)]


def _examples(examples: Sequence[PruneExample]) -> Html:
    if not examples:
        return tag("p", "Examples: not recorded.", class_="nothing")
    shown = [tag("li", _example(example)) for example in examples[:_SHOWN_EXAMPLES]]
    return markup(tag("h3", "Examples: pruned sentences are struck out"), tag("ol", shown, class_="examples"))


def _example(example: PruneExample) -> list[Child]:
    # A unit without a decision would be shown as kept although nobody decided so; the lists must match.
    pairs = zip(example["before"], example["kept"], strict=True)
    return [[tag("span" if is_kept else "del", unit), " "] for unit, is_kept in pairs]


def stages(records: Sequence[Stage]) -> Html:
    """Every artifact behind the numbers, and whether it was found or made."""
    if not records:
        return tag("p", "Stages: not recorded.", class_="nothing")
    rows = [
        Row(
            cells=[
                record["stage"],
                record["name"],
                tag("code", record["digest"][:12]),
                "reused" if record["reused"] else "made",
                duration(record.get("seconds")),
                record.get("summary") or "–",
            ]
        )
        for record in records
    ]
    headings = columns("stage", "name", "digest", "artifact", "#time", "summary")
    return table(headings, rows, caption="Artifacts in the store, each named by its digest.")


def settings(result: Result) -> Html:
    """All resolved settings, in the spelling that the command line takes, and the versions of what ran."""
    rows = [Row(cells=[key, setting(value)]) for key, value in flat(result["settings"])]
    versions = [Row(cells=[name, version or NOT_MEASURED]) for name, version in result.get("versions", {}).items()]
    parts: list[Child] = []
    if rows:
        parts.append(_folded(f"All {len(rows)} settings", table(columns("key", "value"), rows, caption="Settings.")))
    else:
        parts.append(tag("p", "Settings: none recorded.", class_="nothing"))
    if versions:
        parts.append(_folded("Versions", table(columns("package", "version"), versions, caption="Versions.")))
    else:
        parts.append(tag("p", "Versions: not recorded.", class_="nothing"))
    return markup(parts)


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as (dotted key, value) pairs; an empty section stays visible as `{}`."""
    pairs: list[tuple[str, Any]] = []
    for key, value in settings.items():
        inner = _section(value)
        pairs.extend(flat(inner, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)])
    return pairs


def _section(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def commands(command: str, given: Commands | None, best: Best | None) -> Html:
    """The commands that made, resume and repeat; the trial's template is filled in with the winner's number."""
    lines: list[tuple[str, Child]] = [("made by", tag("pre", command))]
    resume = (given or {}).get("resume")
    trial = (given or {}).get("trial")
    if resume:
        lines.append(("resume, or make what is missing", tag("pre", resume)))
    if trial:
        lines.append(("trial N again", tag("pre", trial.replace("{number}", "N"))))
        if best is not None and "{number}" in trial:
            lines.append(("the winner again", tag("pre", trial.replace("{number}", str(best["number"])))))
    return facts(lines)


def _folded(title: str, content: Html) -> Html:
    return tag("details", tag("summary", title), content)
