"""Tables: cells with a sorting key, rows with a class, in a container that scrolls sideways on a phone."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdray.report.markup import Child, Html, markup, tag
from kdray.report.words import NOT_MEASURED


@dataclass(frozen=True)
class Cell:
    """What a cell shows and, where that differs from its text, what it sorts by. `None` sorts last."""

    shown: Child
    key: float | None = None


@dataclass(frozen=True)
class Row:
    """The cells of a row; `class_` and `anchor` (an id to link to) may be empty."""

    cells: Sequence[Cell | str]
    class_: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Column:
    """A heading; numbers are set to the right."""

    title: str
    is_number: bool = False


def columns(*titles: str) -> list[Column]:
    """Headings in short; a leading `#` marks a column of numbers."""
    return [Column(title=title.lstrip("#"), is_number=title.startswith("#")) for title in titles]


def table(headings: Sequence[Column], rows: Sequence[Row], *, caption: str, is_sortable: bool = False) -> Html:
    """A table whose first column heads its rows. Sorting needs the page's script; without it the order given stays."""
    heads = [tag("th", column.title, scope="col", class_=_align(column)) for column in headings]
    body = [_row(headings, row) for row in rows]
    element = tag(
        "table",
        tag("thead", tag("tr", heads)),
        tag("tbody", body),
        class_="sortable" if is_sortable else "plain",
    )
    # tabindex: a container that scrolls must be reachable by keyboard.
    # The caption stands above it, so that it does not scroll away.
    scrolling = tag("div", element, class_="scroll", tabindex="0", role="region", aria_label=caption)
    return markup(tag("p", caption, class_="caption"), scrolling)


def _row(headings: Sequence[Column], row: Row) -> Html:
    cells = [
        _cell(column, cell, is_head=i == 0) for i, (column, cell) in enumerate(zip(headings, row.cells, strict=True))
    ]
    attributes = {name: value for name, value in (("class_", row.class_), ("id", row.anchor)) if value}
    return tag("tr", cells, **attributes)


def _cell(column: Column, cell: Cell | str, *, is_head: bool) -> Html:
    shown, key = (cell.shown, cell.key) if isinstance(cell, Cell) else (cell, None)
    classes = _align(column) + (" missing" if shown == NOT_MEASURED else "")
    attributes = {} if key is None else {"data_key": repr(key)}
    if is_head:
        return tag("th", shown, scope="row", class_=classes, **attributes)
    return tag("td", shown, class_=classes, **attributes)


def _align(column: Column) -> str:
    return "number" if column.is_number else "text"


def facts(pairs: Sequence[tuple[str, Child]], *, is_short: bool = False) -> Html:
    """A list of names and values; short ones stand beside each other, long ones below."""
    lines = [markup(tag("dt", name), tag("dd", value)) for name, value in pairs]
    return tag("dl", lines, class_="short" if is_short else "long")
