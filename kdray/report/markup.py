"""HTML and SVG built so that nothing unescaped can reach the page: plain text is always escaped, only `Html` is not."""

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

_VOID = frozenset({"br", "hr", "link", "meta"})
# HTML knows no control characters but tab, line feed and carriage return, and UTF-8 no lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Html(str):
    """Text that already is HTML. Joining or formatting it with `+` or an f-string gives a `str`, escaped again."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child]"


def markup(*children: Child) -> Html:
    """All children one after another; whatever is not `Html` is escaped, control characters become U+FFFD."""
    return Html("".join(_one(child) for child in children))


def tag(element: str, *children: Child, **attributes: str | float) -> Html:
    """One element. Attribute names lose a trailing `_` and turn other `_` into `-`; floats keep two decimals."""
    opening = "".join(f' {_attribute_name(name)}="{_escape(_plain(value))}"' for name, value in attributes.items())
    if element in _VOID:
        return Html(f"<{element}{opening}>")
    return Html(f"<{element}{opening}>{markup(*children)}</{element}>")


def _one(child: Child) -> str:
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return _escape(child)
    return markup(*child)


def _escape(text: str) -> str:
    return html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True)


def _attribute_name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _plain(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
