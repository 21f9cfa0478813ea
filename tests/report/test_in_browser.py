"""The pages in a real browser: nothing complains, nothing is fetched, everything is drawn, links lead somewhere."""

import base64
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import made_up
import pytest
from browser import Tab, visit

from kdray.report import PLOTLY, index_entry, render, render_index, write_plotly
from kdray.report.pair import side_by_side
from kdray.report.render import html_page
from kdray.results import parse_result
from kdray.store import Store

PAGES = {"sweep": made_up.sweep, "comparison": made_up.comparison, "run": made_up.run, "prune": made_up.pruning}
NUM_FIGURES = {"sweep": 14, "comparison": 3, "run": 4, "prune": 3, "index": 0}

# Every figure with its size, the number of its marks, how many of its texts reach out of it, and how many are clipped.
DRAWINGS = """Array.from(document.querySelectorAll(".plot"), (plot) => {
  const room = plot.getBoundingClientRect();
  const texts = Array.from(plot.querySelectorAll("svg text"), (text) => text.getBoundingClientRect());
  const outside = (box) => box.width > 0 && (box.left < room.left - 1 || box.right > room.right + 1
    || box.top < room.top - 1 || box.bottom > room.bottom + 1);
  const area = plot.querySelector(".nsewdrag")?.getBoundingClientRect();
  const held = Array.from(plot.querySelectorAll("[clip-path] .textpoint text"), (text) => text.getBoundingClientRect());
  const clipped = held.filter((box) => box.left < area.left || box.right > area.right);
  return {
    clipped: clipped.length, name: plot.getAttribute("aria-label"), width: room.width, height: room.height,
    drawn: plot.querySelector("svg.main-svg")?.getBoundingClientRect().width ?? 0,
    marks: plot.querySelectorAll(".trace").length, outside: texts.filter(outside).length,
  };
})"""
TABLES = """Array.from(document.querySelectorAll("table"), (table) => table.getBoundingClientRect().right)"""
DEAD_ANCHORS = """Array.from(document.querySelectorAll("a[href^='#']"), (link) => link.getAttribute("href"))
  .filter((href) => document.getElementById(href.slice(1)) === null)"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
SORTED = """(() => {
  const table = document.querySelector("table.sortable");
  const first = () => Array.from(table.tBodies[0].rows, (row) => row.cells[0].textContent);
  const before = first();
  const button = table.tHead.rows[0].cells[0].querySelector("button");
  button.click(); button.click();
  return [before, first()];
})()"""


def _is_sound(drawing: dict[str, Any]) -> bool:
    width, height, drawn = drawing["width"], drawing["height"], drawing["drawn"]
    return (
        width > 100
        and height > 40
        and 100 < drawn <= width + 1
        and not drawing["clipped"]
        and drawing["marks"] > 0 == drawing["outside"]
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, make in PAGES.items():
        (tmp_path / f"{name}.html").write_text(render(make()))
    entries = [index_entry(make(), f"{name}.html") for name, make in PAGES.items()]
    (tmp_path / "index.html").write_text(render_index(entries))
    pair = side_by_side(parse_result(made_up.sweep()), parse_result(made_up.run()))
    (tmp_path / "pair.html").write_text(html_page(pair, PLOTLY))
    write_plotly(Store(str(tmp_path / "store")))
    (tmp_path / PLOTLY).symlink_to(tmp_path / "store" / "report" / PLOTLY)
    return tmp_path


def test_every_page_in_light_and_dark_on_a_desk_and_on_a_phone(folder: Path) -> None:
    async def look(tab: Tab) -> None:
        for name in (*PAGES, "index"):
            grounds: set[str] = set()
            for scheme, width in (("light", 1280), ("dark", 390)):
                await tab.call(
                    "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
                )
                await tab.call(
                    "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
                )
                await tab.open((folder / f"{name}.html").as_uri())
                grounds.add(await tab.value(BACKGROUND))
                assert await tab.value("document.scrollingElement.scrollWidth") <= width, (name, width)
                assert await tab.value(DEAD_ANCHORS) == []
                drawings = await tab.value(DRAWINGS)
                assert len(drawings) == NUM_FIGURES[name]
                assert [each for each in drawings if not _is_sound(each)] == []
            assert len(grounds) == 2, f"{name} looks the same in light and dark"
        assert tab.complaints == []
        assert {url for url in tab.requests if not url.startswith("data:")} == {
            (folder / name).as_uri() for name in (*(f"{page}.html" for page in (*PAGES, "index")), PLOTLY)
        }

    visit(look)


def test_figures_follow_a_page_that_becomes_narrower_and_wider(folder: Path) -> None:
    async def look(tab: Tab) -> None:
        async def show(width: int) -> None:
            await tab.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
            )

        await show(1280)
        await tab.open((folder / "sweep.html").as_uri())
        for width in (390, 700, 390, 1280):
            await show(width)
            await tab.value("new Promise((done) => setTimeout(done, 1000))")
            drawings = await tab.value(DRAWINGS)
            assert [each for each in drawings if not _is_sound(each)] == [], width
            assert [each for each in drawings if each["drawn"] < 0.9 * each["width"]] == [], width
        assert tab.complaints == []

    visit(look)


def test_the_first_column_leaves_room_for_numbers_on_a_phone(folder: Path) -> None:
    result = made_up.comparison()
    result["confirmation"][0] |= {
        "label": "student from teacher layers, no KD",
        "agreement": {"teacher": {"validation": 0.7, "test": 0.717}},
    }
    (folder / "wide.html").write_text(render(result))

    async def look(tab: Tab) -> None:
        await tab.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=False)
        await tab.open((folder / "wide.html").as_uri())
        assert await tab.value("document.querySelector('tbody td.number').getBoundingClientRect().right") < 390

    visit(look)


@pytest.mark.parametrize("name", ["sweep", "prune", "pair"])
def test_a_printed_page_cuts_no_table_off_and_opens_what_is_folded(folder: Path, name: str) -> None:
    async def look(tab: Tab) -> None:
        width, height = 703, 1032  # pixels of A4 between the margins; the page of all trials is turned
        await tab.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False
        )
        await tab.call("Emulation.setEmulatedMedia", media="print")
        await tab.open((folder / f"{name}.html").as_uri())
        printed = base64.b64decode((await tab.call("Page.printToPDF"))["data"])
        assert printed.startswith(b"%PDF-")
        assert printed.count(b"/Type /Page\n") > 1
        assert await tab.value("document.querySelectorAll('section > details:not([open])').length") == 0
        assert await tab.value(TABLES)
        assert max(await tab.value(TABLES.replace('"table"', '"section:not(#all-trials) table"'))) <= width
        assert max(await tab.value(TABLES)) <= height
        assert tab.complaints == []

    visit(look)


def test_links_lead_to_pages_and_a_click_on_a_heading_sorts(folder: Path) -> None:
    async def look(tab: Tab) -> None:
        await tab.open((folder / "index.html").as_uri())
        links: list[str] = await tab.value("Array.from(document.querySelectorAll('main a'), (a) => a.href)")
        assert {Path(link).name for link in links} == {f"{name}.html" for name in PAGES}
        for link in links:
            await tab.open(link)
            assert await tab.value("document.title")
        await tab.open((folder / "sweep.html").as_uri())
        before, after = await tab.value(SORTED)
        assert after != before
        assert sorted(after) == sorted(before)
        assert tab.complaints == []

    visit(look)


def test_a_page_that_breaks_its_own_policy_is_noticed(folder: Path) -> None:
    """The browser's complaints do reach these tests."""
    page = render(made_up.sweep()).replace("</body>", "<script>throw Error('x')</script></body>")
    (folder / "broken.html").write_text(page)

    async def look(tab: Tab) -> None:
        await tab.open((folder / "broken.html").as_uri())
        assert any("Content Security Policy" in complaint for complaint in tab.complaints)

    visit(look)


def test_a_page_without_the_script_of_its_figures_names_it_and_keeps_its_tables(folder: Path) -> None:
    (folder / "alone").mkdir()
    (folder / "alone" / "sweep.html").write_text(render(made_up.sweep()))

    async def look(tab: Tab) -> None:
        await tab.open((folder / "alone" / "sweep.html").as_uri())
        texts = await tab.value("Array.from(document.querySelectorAll('.plot'), (plot) => plot.textContent)")
        assert len(texts) == NUM_FIGURES["sweep"]
        assert all(f"needs the file {PLOTLY}" in text for text in texts)
        assert await tab.value("document.querySelectorAll('figure table').length") > 3

    visit(look)


def test_texts_with_markup_are_shown_as_they_are_in_figures(folder: Path) -> None:
    sweep, evil = made_up.sweep(), "</script><a href='https://example.org'><b>x</b></a>&amp;"
    for trial in sweep["trials"]:
        trial["params"] = {"method": evil if trial["number"] % 2 else "kd"}
    (folder / "evil.html").write_text(render(sweep))

    async def look(tab: Tab) -> None:
        await tab.open((folder / "evil.html").as_uri())
        texts = await tab.value("Array.from(document.querySelectorAll('.plot svg text'), (text) => text.textContent)")
        assert evil in texts
        assert await tab.value("document.querySelectorAll('.plot a').length") == 0
        assert tab.complaints == []

    visit(look)


AXE = "axe-core@4.14.1"
VIOLATIONS = """axe.run(document).then((found) => found.violations.map(
  (each) => `${each.impact} ${each.id}: ${each.nodes.map((node) => node.target.join(" ")).slice(0, 5).join(", ")}`))"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, from npm."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if npm is None:
        pytest.skip("ACCESSIBILITY NOT CHECKED: no npm on this machine (Debian: apt install npm)")
    packed = subprocess.run([npm, "pack", AXE, "--silent"], cwd=folder, capture_output=True, text=True, check=False)
    if packed.returncode:
        pytest.skip(f"ACCESSIBILITY NOT CHECKED: npm could not fetch {AXE}: {packed.stderr.strip()[-300:]}")
    with tarfile.open(folder / packed.stdout.strip()) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_no_accessibility_violation(folder: Path, axe: str, scheme: str, width: int) -> None:
    async def look(tab: Tab) -> None:
        await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await tab.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        found: dict[str, list[str]] = {}
        for name in (*PAGES, "index", "pair"):
            await tab.open((folder / f"{name}.html").as_uri())
            await tab.value(axe + "; null")
            found[name] = await tab.value(VIOLATIONS)
        assert not any(found.values()), found

    visit(look)


def test_axe_notices_a_missing_label(folder: Path, axe: str) -> None:
    """The accessibility check can fail."""
    page = render(made_up.sweep()).replace('<html lang="en">', "<html>")
    (folder / "broken.html").write_text(page)

    async def look(tab: Tab) -> None:
        await tab.open((folder / "broken.html").as_uri())
        await tab.value(axe + "; null")
        assert any("html-has-lang" in each for each in await tab.value(VIOLATIONS))

    visit(look)
