"""HTML and Markdown pages of sweeps, comparisons, runs and pruned corpora: verdict, tables, figures, provenance.

A page works offline: style and script are inside, and the figures need one local file, `PLOTLY`, which is written once
into the folder of pages of a store (without it the page shows all its tables). The page's own content security policy
forbids everything else. It is made from `result.json` alone: the same result gives the same page.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import plotly.offline
from plotly.graph_objects import Figure

from kdray.errors import ConfigError
from kdray.report import formatting as fmt
from kdray.report import tables
from kdray.report.document import Document, Section, Text
from kdray.report.figures import TEMPLATE
from kdray.report.pages import document_of
from kdray.report.pair import side_by_side
from kdray.report.render import html_page, markdown_page
from kdray.report.summary import leader, score_on_test, verdict_on_seeds, winner_on_seeds
from kdray.results import IndexEntry, PruneResult, SweepResult, parse_entry, parse_result
from kdray.store import Store

__all__ = [
    "FOLDER",
    "PLOTLY",
    "figures",
    "index_entry",
    "render",
    "render_index",
    "verdict_on_seeds",
    "winner_on_seeds",
    "write_page",
    "write_pair",
    "write_plotly",
]

FOLDER = "report"  # of the pages, in a store
PLOTLY = f"plotly-{plotly.offline.get_plotlyjs_version()}.min.js"


def write_plotly(store: Store) -> None:
    """Write the script that draws the figures (4.8 MB) into a store, unless it is there."""
    if not store.exists(f"{FOLDER}/{PLOTLY}"):
        store.write_bytes(f"{FOLDER}/{PLOTLY}", plotly.offline.get_plotlyjs().encode())


def render(result: Mapping[str, Any], *, folder: str = "", source: str = "result.json") -> str:
    """The HTML page of one sweep, comparison, run or pruned corpus.

    Args:
        result: The contents of `result.json`; `kdray.results` names its keys.
        folder: The folder of `PLOTLY` relative to the page, such as `../../report/`.
        source: The name of the file in errors.

    Raises:
        ConfigError: A mandatory key is missing or a value has the wrong type; the sentence names the key.
    """
    return html_page(document_of(parse_result(result, source=source)), folder + PLOTLY)


def write_page(store: Store, where: str, result: Mapping[str, Any]) -> None:
    """Write the page `where` of a store, its Markdown next to it, and the script of the figures if it is missing.

    Args:
        where: A path in the store that ends in `.html`.

    Raises:
        ConfigError: As `render`.
    """
    _write(store, where, document_of(parse_result(result)))


def write_pair(store: Store, where: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Write the page that has two results side by side, as `write_page`.

    Raises:
        ConfigError: As `render`.
    """
    _write(store, where, side_by_side(parse_result(one), parse_result(other)))


def _write(store: Store, where: str, document: Document) -> None:
    above = "../" * where.count("/")
    folder = "" if where.startswith(f"{FOLDER}/") else f"{above}{FOLDER}/"
    page, text = html_page(document, folder + PLOTLY).encode(), markdown_page(document).encode()
    store.write_bytes(where, page)
    store.write_bytes(f"{where.removesuffix('.html')}.md", text)
    write_plotly(store)


def figures(result: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures of the page by title, for other documents: `figure.write_image("x.pdf")` needs `kaleido`.

    Raises:
        ConfigError: As `render`.
    """
    drawn = [(plot.title, plot.figure) for plot in document_of(parse_result(result)).plots if plot.figure is not None]
    return {title: Figure({**figure, "layout": {**figure["layout"], "template": TEMPLATE}}) for title, figure in drawn}


def render_index(entries: Sequence[Mapping[str, Any] | IndexEntry]) -> str:
    """The list of several reports with links, by corpus, newest first; `index_entry` makes an entry.

    Raises:
        ConfigError: An entry lacks a key, or links to something other than a relative path.
    """
    plain = [entry.plain() if isinstance(entry, IndexEntry) else entry for entry in entries]
    ordered = sorted(map(parse_entry, plain), key=lambda entry: entry.created, reverse=True)
    for href in (entry.href for entry in ordered):
        parts = urlsplit(href)
        if parts.scheme or parts.netloc:
            raise ConfigError(f"list of reports: href is {href!r}, but only paths relative to the list are linked.")
    nothing = Text("This store holds no sweep and no run with a result.")
    section = Section("Reports", tables.index(ordered) or [nothing])
    return html_page(Document("kdray: sweeps and runs", [section]), PLOTLY)


def index_entry(result: Mapping[str, Any], href: str) -> IndexEntry:
    """The line of the list for one result, whose page is at `href` relative to the list.

    Method and score are those of the page's verdict: of a confirmed sweep's winner or a comparison's best method, whose
    score is the mean over seeds, or of a run; none otherwise.

    Raises:
        ConfigError: As `render`.
    """
    record = parse_result(result)
    is_sweep, student = isinstance(record, SweepResult), leader(record)
    method = student.method if student else dict(fmt.flat(record.settings)).get("method.name")
    return IndexEntry(
        href=href,
        kind=record.kind,
        name=record.name,
        created=record.created,
        corpus=record.corpus.name,
        is_sample=record.corpus.is_sample,
        note=record.corpus.note,
        method=str(method or ""),
        metric=None if isinstance(record, PruneResult) else record.metric,
        rows=record.corpus.rows.get("test"),
        test=score_on_test(record).mean,
        trials=len(record.trials) if is_sweep else None,
        failed=sum(trial.state == "failed" for trial in record.trials) if is_sweep else None,
        seconds=record.seconds.total if record.seconds else None,
    )
