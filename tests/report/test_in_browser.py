"""The pages in a real browser: nothing complains, nothing is fetched, everything is drawn, links lead somewhere."""

from pathlib import Path

import made_up
import pytest
from browser import Tab, visit

from kdray.report import index_entry, render, render_index

PAGES = {"sweep": made_up.sweep, "comparison": made_up.comparison, "run": made_up.run, "prune": made_up.pruning}

# Every drawing with its size, and whether each of its marks lies inside it.
DRAWINGS = """Array.from(document.querySelectorAll("figure > svg[role=img]"), (svg) => {
  const room = svg.getBoundingClientRect();
  const shapes = svg.querySelectorAll("circle, path, polyline, rect");
  const marks = Array.from(shapes, (shape) => shape.getBoundingClientRect());
  const inside = (box) => box.left >= room.left - 1 && box.right <= room.right + 1
    && box.top >= room.top - 1 && box.bottom <= room.bottom + 1;
  return {
    name: svg.getAttribute("aria-label"), width: room.width, height: room.height,
    marks: marks.length, outside: marks.filter((box) => !inside(box)).length,
  };
})"""
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, make in PAGES.items():
        (tmp_path / f"{name}.html").write_text(render(make()))
    entries = [index_entry(make(), f"{name}.html") for name, make in PAGES.items()]
    (tmp_path / "index.html").write_text(render_index(entries))
    return tmp_path


def test_every_page_in_light_and_dark_on_a_desk_and_on_a_phone(folder: Path) -> None:
    async def look(tab: Tab) -> None:
        for name in (*PAGES, "index"):
            grounds: set[str] = set()
            for scheme, width in (("light", 1200), ("dark", 360)):
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
                for drawing in await tab.value(DRAWINGS):
                    assert drawing["width"] > 100, drawing
                    assert drawing["height"] > 40, drawing
                    assert drawing["marks"] > 0, drawing
                    assert drawing["outside"] == 0, drawing
            assert len(grounds) == 2, f"{name} looks the same in light and dark"
        assert tab.complaints == []
        assert {url for url in tab.requests if not url.startswith("data:")} == {
            (folder / f"{name}.html").as_uri() for name in (*PAGES, "index")
        }

    visit(look)


def test_links_lead_to_pages_and_a_click_on_a_heading_sorts(folder: Path) -> None:
    async def look(tab: Tab) -> None:
        await tab.open((folder / "index.html").as_uri())
        links: list[str] = await tab.value("Array.from(document.querySelectorAll('main a, table a'), (a) => a.href)")
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
