"""Documents rendered by the templates in `templates/`."""

import hashlib
import re
from base64 import b64encode
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from kdray.report.document import Document
from kdray.report.figures import TEMPLATE
from kdray.report.formatting import printable

_MARKDOWN = re.compile(r"([\\`*_\[\]|#~])")


def html_page(document: Document, script: str) -> str:
    """The HTML page; `script` is the path of plotly's script relative to it."""
    return _environment().get_template("page.html").render(document=document, plotly=script, **_packaged())


def markdown_page(document: Document) -> str:
    """The page as Markdown."""
    page = _environment().get_template("page.md").render(document=document)
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kdray.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = _escaped
    return environment


def _clean(value: Any) -> Any:
    """Control characters in texts replaced; markup is passed on."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _escaped(text: str) -> str:
    """Text as Markdown that reads as it is, in one line."""
    return escape(_MARKDOWN.sub(r"\\\1", " ".join(printable(text).split())), quote=False)


@cache
def _packaged() -> dict[str, Any]:
    folder = resources.files("kdray.report").joinpath("templates")
    style, code = (Markup(folder.joinpath(name).read_text(encoding="utf-8")) for name in ("style.css", "page.js"))  # noqa: S704
    digest = b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return {"style": style, "code": code, "digest": digest, "template": TEMPLATE}
