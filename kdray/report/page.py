"""The page around everything: head, title, banner, sections."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from importlib import resources

from kdray.report.markup import Child, Html, markup, tag
from kdray.report.schema import Corpus, Result
from kdray.report.tables import facts
from kdray.report.words import count, moment


def page(title: str, *body: Child) -> Html:
    """A complete HTML document that loads nothing: style and script are inside, and its own policy forbids the rest."""
    script = _packaged("script.html")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        # Without it a browser asks the server for /favicon.ico.
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Html(_packaged("style.css"))),
    )
    document = tag("html", head, tag("body", *body, Html(script)), lang="en")
    return markup(Html("<!doctype html>\n"), document, "\n")


def _packaged(name: str) -> str:
    return resources.files("kdray.report").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Only this very script may run, so no name or error text could, even if it got onto the page unescaped."""
    code = re.fullmatch(r"<script>(.*)</script>\s*", script, flags=re.DOTALL)
    assert code is not None, "script.html holds one script and nothing else"
    digest = b64encode(hashlib.sha256(code[1].encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def section(title: str, *content: Child) -> tuple[str, Html]:
    """A section and its title, by which the table of contents links to it."""
    return title, tag("section", tag("h2", title), *content, id=_anchor(title))


def contents(sections: Sequence[tuple[str, Html]]) -> Html:
    """Links to all sections."""
    links = [tag("a", title, href=f"#{_anchor(title)}") for title, _ in sections]
    return tag("nav", links, aria_label="Contents")


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower()).strip("-")


def key_figures(pairs: Sequence[tuple[str, str]]) -> Html:
    """A few numbers in large type."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs], class_="key-figures")


def figures(*shown: Child, is_small: bool = False) -> Html:
    """Figures side by side where there is room."""
    return tag("div", *shown, class_="figures small" if is_small else "figures")


def corpus_title(name: str, *, is_sample: bool, note: str | None) -> str:
    """The corpus as titles name it: never without saying that it is the sample, or what is special about its rows."""
    remarks = [*(["the bundled sample"] if is_sample else []), *_phrases(note, is_sample=is_sample)]
    return f"{name} ({'; '.join(remarks)})" if remarks else name


def _phrases(note: str | None, *, is_sample: bool) -> list[str]:
    """What is special about the rows, but for what `is_sample` says already."""
    phrases = note.split("; ") if note else []
    return [phrase for phrase in phrases if not (is_sample and "ships with kdray" in phrase)]


def banner(corpus: Corpus) -> Html:
    """A plain warning above everything else, or nothing where the whole official corpus was used."""
    lines: list[str] = []
    if corpus["is_sample"]:
        asked = f" You asked for '{corpus.get('requested')}'." if corpus.get("requested") else ""
        lines.append(
            f"These numbers are from {corpus['name']}, the small sample that ships with kdray, not from a public "
            f"benchmark: they show that everything works, and compare with nothing published.{asked}"
        )
    if phrases := _phrases(corpus.get("note"), is_sample=corpus["is_sample"]):
        lines.append(f"Not the whole corpus: {'; '.join(phrases)}.")
    return tag("div", [tag("p", line) for line in lines], class_="banner", role="note") if lines else Html()


def provenance(result: Result) -> Html:
    """One quiet line: when, with what, from which rows."""
    corpus = result["corpus"]
    rows = ", ".join(f"{split} {count(number)}" for split, number in corpus["rows"].items())
    source = f" from {corpus.get('report_from')}" if corpus.get("report_from") else ""
    commit = f"commit {result.get('commit')}" if result.get("commit") else "commit not recorded"
    words = f"{moment(result['created'])} · kdray {result['kdray']} · {commit} · rows: {rows}{source}"
    return tag("p", words, class_="quiet")


def corpus_facts(corpus: Corpus) -> Html:
    """Everything known about the rows."""
    rows = ", ".join(f"{count(number)} {split}" for split, number in corpus["rows"].items())
    return facts(
        [
            ("corpus", corpus_title(corpus["name"], is_sample=corpus["is_sample"], note=corpus.get("note"))),
            ("rows", rows),
            ("report split taken from", corpus.get("report_from") or "not recorded"),
            ("read from", corpus.get("origin") or "not recorded"),
            ("asked for", corpus.get("requested") or "not recorded"),
        ],
        is_short=True,
    )
