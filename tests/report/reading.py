"""Reads a page back: its elements with their attributes and text, refusing tags that do not balance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from kdray.report.pages import document_of
from kdray.report.render import markdown_page
from kdray.results import parse_result

_VOID = frozenset({"meta", "link", "br", "hr"})


@dataclass
class Element:
    """One element; `text` is that of all its descendants."""

    tag: str
    attributes: dict[str, str]
    ancestors: tuple[str, ...]
    text: str = field(default="")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(e.tag for e in self.open))
        self.elements.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}> at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


def read(page: str) -> list[Element]:
    """All elements in document order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open, f"never closed: {[element.tag for element in reader.open]}"
    return reader.elements


def texts(page: str, tag: str) -> list[str]:
    """The text of every element with this tag."""
    return [element.text for element in read(page) if element.tag == tag]


def markdown(result: Mapping[str, Any]) -> str:
    """The page of a result in Markdown."""
    return markdown_page(document_of(parse_result(result)))
