"""`kdray report` over a store that others wrote: pages are made of what can be shown, the rest is one line each."""

import copy
import json
import random
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import made_up
import pytest

from kdray.cli import main
from kdray.report import PLOTLY
from kdray.store import Artifact, Store, with_checksum

CASES = 600
MARK = "x-escaped"
SCRIPT = f"\"'><{MARK} onerror=alert(1)></{MARK}><script>alert('{MARK}')</script>"
NASTY: tuple[Any, ...] = (
    SCRIPT, f"javascript:alert('{MARK}')", "../../../escaped", "/etc/passwd", "\x00\x1b[31m", "\ud800", "é" * 5000,
    "", None, True, -1, 0, 10**30, -1e308, 1e308, float("nan"), float("inf"), [], {}, [[[[]]]], [None],
    {SCRIPT: SCRIPT}, {"a": {SCRIPT: [1, 2]}}, [SCRIPT] * 3, "9" * 400, "2026-13-45T99:99:99Z",
)  # fmt: skip


class _Page(HTMLParser):
    """Collects what a browser would run or open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.scripts = ""
        self.is_data = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_data = tag == "script" and ("type", "application/json") in attrs  # the numbers of a figure
        self.tags += [] if self.is_data else [tag]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in ("script", "style") and not self.is_data:
            self.scripts += data


def corpus(store: Store) -> Artifact:
    info = {
        "name": "opinions",
        "is_sample": False,
        "note": None,
        "origin": "made up",
        "rows": {"train": 9, "test": 3},
    }

    def build(draft: Any) -> dict[str, Any]:
        draft.file("corpus.json").write_text(json.dumps({"info": info}))
        return {}

    return store.make("corpus", "opinions", settings={}, inputs={}, build=build)[0]


def student(store: Store, number: int, change: Callable[[dict[str, Any]], Any] = lambda document: document) -> Artifact:
    """A student as a training leaves it, its document changed before it was published."""
    of = corpus(store)
    document = made_up.run() | {"cost": {"layers": 3, "parameters": 10, "latency_ms": 1.0}, "versions": {"kdray": "1"}}
    document["seconds"] = {"total": 61.0, "prepare": 2.0, "train": 50.0, "evaluate": 4.0}
    document["spec"] = {"corpus": {"stage": of.stage, "name": of.name, "digest": of.digest}}
    document["history"] = [{"epoch": 1, "score": 0.5, "terms": {"kd": 1.0}, "weighted": {"kd": 1.0}}]

    def build(draft: Any) -> dict[str, Any]:
        content = json.dumps(change(document)).encode("utf-8", "surrogatepass")
        draft.file("result.json").write_bytes(content)
        return {}

    return store.make("distill", "s", settings={"number": number}, inputs={"corpus": of.digest}, build=build)[0]


def mutated(document: Any, draw: random.Random) -> Any:
    """One to three values of a document replaced, dropped, repeated or wrapped."""
    document = copy.deepcopy(document)
    for _ in range(draw.randint(1, 3)):
        inside = document
        while True:
            places = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            if not places:
                break
            place = draw.choice(places)
            if isinstance(inside[place], dict | list) and draw.random() < 0.75:
                inside = inside[place]
                continue
            change = draw.randrange(5)
            if change == 0:
                del inside[place]
            elif change == 1:
                inside[place] = [inside[place]] * 2
            else:
                inside[place] = SCRIPT if draw.random() < 0.4 else draw.choice(NASTY)
            break
    return document


def damaged(text: str, draw: random.Random) -> bytes:
    """One byte flipped, or the end cut off."""
    content = bytearray(text.encode())
    place = draw.randrange(len(content))
    if draw.random() < 0.3:
        return bytes(content[:place])
    content[place] ^= 1 << draw.randrange(8)
    return bytes(content)


def fill(store: Store, draw: random.Random) -> None:
    """Three whole pages and `CASES` that were tampered with: results of sweeps, results of students, manifests."""
    for name, document in (("good", made_up.sweep()), ("compared", made_up.comparison())):
        store.write_json(f"sweeps/{name}/result.json", document)
    student(store, -1)
    sources = [made_up.sweep() | {"trials": made_up.sweep()["trials"][:9]}, made_up.comparison()]
    for number in range(CASES // 2):
        document = sources[number % 2]
        content = (
            damaged(json.dumps(document), draw)
            if number % 5 == 0
            else json.dumps(mutated(document, draw)).encode("utf-8", "surrogatepass")
        )
        store.write_bytes(f"sweeps/f{number}/result.json", content)
    for number in range(CASES // 4):
        student(store, number, lambda document: mutated(document, draw))
    for number in range(CASES // 2, 3 * CASES // 4):
        listed = student(store, number).path / "manifest.json"
        plain = json.loads(listed.read_text())
        changed = mutated(plain, draw)
        written = (
            with_checksum(changed)
            if number % 3 == 0 and all(_is_json(value) for value in changed.values())
            else changed
        )
        content = json.dumps(written).encode("utf-8", "surrogatepass")
        listed.write_bytes(damaged(listed.read_text(), draw) if number % 5 == 0 else content)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("seed", [0])
def test_tampered_results_and_manifests_keep_no_other_page_back(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "store"))
    fill(store, random.Random(seed))
    before = {path for path in tmp_path.rglob("*") if "report" not in path.relative_to(tmp_path).parts}
    assert main(["report", store.uri, "--json"]) == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert {path for path in tmp_path.rglob("*") if "report" not in path.relative_to(tmp_path).parts} == before
    assert len(document["pages"]) + len(document["left_out"]) == CASES + 3
    assert len(document["left_out"]) > CASES // 3
    assert {"sweep-good.html", "sweep-compared.html"} < set(document["pages"])
    assert said.err.splitlines()[-1] == (
        f"kdray: {len(document['left_out'])} of {CASES + 3} pages could not be written; they are named above."
    )
    warned = [line for line in said.err.splitlines() if "left out: " in line]
    assert len(warned) == len(document["left_out"])
    assert all(line.isprintable() for line in warned)
    files = [path.name for path in (tmp_path / "store" / "report").iterdir()]
    written = sorted(name for name in files if name.endswith(".html"))
    assert written == sorted([*document["pages"], "index.html"])
    texts = [f"{page.removesuffix('.html')}.md" for page in document["pages"]]
    assert set(files) == {*written, *texts, PLOTLY}
    clean = _Page((tmp_path / "store" / "report" / "sweep-good.html").read_text())
    seen = 0
    for name in written:
        text = (tmp_path / "store" / "report" / name).read_text()
        page = _Page(text)
        seen += MARK in text
        assert MARK not in page.tags, name
        assert page.handlers == [], name
        assert MARK not in page.scripts, name
        assert page.tags.count("script") <= clean.tags.count("script"), name
        assert not any(":" in link.split("/")[0] for link in page.links if link != "data:,"), name
    assert seen > 20  # the mark does arrive, as text


def test_one_malformed_manifest_is_one_line_and_the_others_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "store"))
    good, bad = student(store, 0), student(store, 1)
    (bad.path / "manifest.json").write_text('{"digest": 7}')
    assert main(["report", store.uri]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("1 pages; open ")
    (line, last) = said.err.splitlines()
    assert (
        f"left out: run-{bad.path.name}: {bad.path}/manifest.json cannot be used: stage: Field required; remove" in line
    )
    assert last == "kdray: 1 of 2 pages could not be written; they are named above."
    assert (tmp_path / "store" / "report" / f"run-{good.path.name}.html").exists()


def test_a_result_that_was_changed_after_it_was_published_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "store"))
    student(store, 0)
    result = student(store, 1).path / "result.json"
    result.write_text(result.read_text().replace("0.5", "0.9"))
    assert main(["report", store.uri]) == 1
    assert f"{result} is not what was written there; remove " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a:b", "-x", "a b", "<script>", "é"])
def test_a_sweep_whose_name_cannot_be_a_page_is_left_out(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "store"))
    for each in ("good", name):
        store.write_json(f"sweeps/{each}/result.json", made_up.sweep())
    assert main(["report", store.uri]) == 1
    assert "its folder cannot name a page: use letters, digits" in capsys.readouterr().err
    pages = sorted(path.name for path in (tmp_path / "store" / "report").glob("*.html"))
    assert pages == ["index.html", "sweep-good.html"]
