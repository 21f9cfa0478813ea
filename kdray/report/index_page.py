"""The list of several reports."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from kdray.errors import BadInput
from kdray.report.markup import Html, tag
from kdray.report.page import corpus_title, page
from kdray.report.schema import IndexEntry
from kdray.report.tables import Cell, Row, columns, table
from kdray.report.words import NOT_MEASURED, count, duration, metric, moment, plural


def index_page(entries: Sequence[IndexEntry]) -> Html:
    """The whole document, newest first."""
    title = "kdray: sweeps and runs"
    if not entries:
        return page(title, tag("h1", title), tag("p", "This store holds no sweep and no run with a result yet."))
    ordered = sorted(entries, key=lambda entry: entry["created"], reverse=True)
    headings = columns("name", "kind", "corpus", "#score on report", "#trials", "#failed", "#time", "made")
    rows = [_row(entry) for entry in ordered]
    listed = table(headings, rows, caption=f"{plural(len(rows), 'report')}, newest first.", is_sortable=True)
    return page(title, tag("h1", title), tag("main", listed))


def _row(entry: IndexEntry) -> Row:
    report, trials, failed, seconds = (entry.get(key) for key in ("report", "trials", "failed", "seconds"))
    name = entry.get("metric")
    score = f"{name} {metric(name, entry.get('rows')).score(report)}" if name and report is not None else NOT_MEASURED
    cells = [
        tag("a", entry["name"], href=_local(entry["href"])),
        entry["kind"],
        corpus_title(entry["corpus"], is_sample=entry["is_sample"], note=entry.get("note")),
        Cell(score, key=report),
        count(trials) if entry["kind"] == "sweep" else "–",
        count(failed) if entry["kind"] == "sweep" else "–",
        Cell(duration(seconds), key=seconds),
        moment(entry["created"]),
    ]
    return Row(cells=cells)


def _local(href: str) -> str:
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        raise BadInput(f"list of reports: href is {href!r}, but only paths relative to the list are linked.")
    return href
