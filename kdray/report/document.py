"""A page as data: title, verdict and sections of blocks, which the templates render as HTML and as Markdown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, ClassVar, TypeAlias

from kdray.report.formatting import NOT_MEASURED


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        key: The number to sort by, where the text does not sort well.
        under: Small lines below the text.
        badge: A remark in a frame.
        style: An HTML element around the text: `strong`, `code`, `del`, or none.
        href: A link, relative to the page.
    """

    text: str
    key: float | None = None
    under: tuple[str, ...] = ()
    badge: str = ""
    style: str = ""
    href: str = ""

    @property
    def is_missing(self) -> bool:
        return self.text == NOT_MEASURED


@dataclass(frozen=True)
class Row:
    """The cells of a row; the first one is its heading."""

    cells: Sequence[Cell]
    is_winner: bool = False


def row(*cells: Cell | str, is_winner: bool = False) -> Row:
    """A row of cells, plain ones given as text."""
    return Row([Cell(cell) if isinstance(cell, str) else cell for cell in cells], is_winner)


@dataclass(frozen=True)
class Table:
    """A table; a leading `#` marks a column of numbers. A folded table opens on a click."""

    kind: ClassVar = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    is_sortable: bool = False
    is_folded: bool = False


@dataclass(frozen=True)
class Text:
    """A paragraph; a quiet one states that something was not measured."""

    kind: ClassVar = "text"
    text: str
    is_quiet: bool = False


@dataclass(frozen=True)
class NamedValues:
    """Names and values; values of a code list are commands or messages, values of a long list are sentences."""

    kind: ClassVar = "facts"
    pairs: Sequence[tuple[str, str]]
    is_code: bool = False
    is_long: bool = False


@dataclass(frozen=True)
class Examples:
    """Rows as lists of (unit, kept); dropped units are struck out."""

    kind: ClassVar = "examples"
    title: str
    rows: Sequence[Sequence[tuple[str, bool]]]


@dataclass(frozen=True)
class Plot:
    """A figure, or the reason why there is none.

    Attributes:
        figure: The figure as plotly's `data` and `layout`, without the template of all figures.
        caption: A sentence under the figure; without a figure, the reason.
        words: A description of the figure in one sentence.
        numbers: The data of the figure as a table; None where another table of the page holds them.
    """

    kind: ClassVar = "plot"
    title: str
    caption: str = ""
    figure: Mapping[str, Any] | None = None
    words: str = ""
    numbers: Table | None = None


Block: TypeAlias = Table | Text | NamedValues | Examples | Plot


@dataclass(frozen=True)
class Section:
    """A section of a page."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z]+", "-", self.title.lower()).strip("-")

    @property
    def runs(self) -> list[tuple[bool, list[Block]]]:
        """The blocks in their order, figures that follow each other together and marked as such."""
        return [(is_plot, list(run)) for is_plot, run in groupby(self.blocks, lambda b: isinstance(b, Plot))]


@dataclass(frozen=True)
class Document:
    """A whole page.

    Attributes:
        tab: The title in a browser's tab, where a shorter one says enough.
        origin: When and with which versions the numbers were made.
        warnings: Sentences above everything else.
        verdict: The result in one sentence.
        findings: Sentences that limit the verdict.
        key_figures: A few numbers in large type.
    """

    title: str
    sections: Sequence[Section]
    origin: str = ""
    warnings: Sequence[str] = ()
    verdict: str = ""
    findings: Sequence[str] = ()
    key_figures: Mapping[str, str] = field(default_factory=dict[str, str])
    tab: str = ""

    @property
    def plots(self) -> list[Plot]:
        """The figures of all sections."""
        return [b for section in self.sections for b in section.blocks if isinstance(b, Plot) and b.figure is not None]
