"""One self-contained HTML page per sweep or run: plots, tables, and where each number came from.

The page makes no request of any kind: drawings are inline SVG, style and script are inside, and its own content
security policy forbids everything else. It is made from `result.json` alone: the same result gives the same page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kdray.report.comparison_page import comparison_page
from kdray.report.index_page import index_page
from kdray.report.prune_page import prune_page
from kdray.report.run_page import run_page
from kdray.report.schema import IndexEntry, checked, checked_entry
from kdray.report.sweep_page import sweep_page
from kdray.report.verdict import winner_first

__all__ = ["index_entry", "render", "render_index"]


def render(result: Mapping[str, Any]) -> str:
    """The page of one sweep or run.

    Args:
        result: What `result.json` holds; `kdray.report.schema` names its keys.

    Raises:
        BadInput: A mandatory key is missing or a value has the wrong type; the sentence names the key.
    """
    record = checked(result)
    if record["kind"] == "sweep":
        return sweep_page(record)
    if record["kind"] == "prune":
        return prune_page(record)
    return comparison_page(record) if record["kind"] == "comparison" else run_page(record)


def render_index(entries: Sequence[Mapping[str, Any]]) -> str:
    """The list of several reports with links, newest first; `index_entry` makes an entry.

    Raises:
        BadInput: An entry misses a key, or links to something other than a relative path.
    """
    return index_page([checked_entry(entry) for entry in entries])


def index_entry(result: Mapping[str, Any], href: str) -> IndexEntry:
    """What the list says about one result, whose page lies at `href` relative to the list.

    The score is the one the page itself leads with: the winner's mean over seeds for a confirmed sweep, the report
    split's for a run, none otherwise.

    Raises:
        BadInput: As `render`.
    """
    record = checked(result)
    corpus, seconds = record["corpus"], record.get("seconds")
    entry = IndexEntry(
        href=href,
        kind=record["kind"],
        name=record["name"],
        created=record["created"],
        corpus=corpus["name"],
        is_sample=corpus["is_sample"],
        note=corpus.get("note"),
        metric=None if record["kind"] == "prune" else record.get("metric"),
        rows=corpus["rows"].get("report"),
        seconds=seconds["total"] if seconds else None,
    )
    if record["kind"] == "run":
        entry["report"] = record["metrics"].get("report", {}).get(record.get("metric") or "")
        return entry
    if record["kind"] == "comparison" or record["kind"] == "prune":
        return entry  # many students, none of which is the one; or none
    entry["trials"] = len(record["trials"])
    entry["failed"] = sum(trial["state"] == "failed" for trial in record["trials"])
    if confirmation := record.get("confirmation", []):
        entry["report"] = winner_first(confirmation)[0]["report"]["mean"]
    return entry
