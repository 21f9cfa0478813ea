"""Figures of a pruning: importance around its threshold, whom it hit, and how the units cluster."""

from collections.abc import Sequence

from kdray.report import plot_rows, svg
from kdray.report.markup import Html, tag
from kdray.report.schema import Prune, PruneLengths, PruneSizes, PruneUnit
from kdray.report.svg import Box, Scale
from kdray.report.tables import Cell, Row, columns, table
from kdray.report.words import plural

_LONGEST_UNIT = 160  # characters


def figures(record: Prune) -> list[Html]:
    """What the record holds of them, in the order of reading."""
    found: list[Html] = []
    if spread := record.get("importance"):
        found.append(_importance(spread["edges"], spread["kept"], spread["dropped"], record.get("threshold")))
    if lengths := record.get("lengths"):
        found.append(_lengths(lengths))
    if clusters := record.get("clusters"):
        found.append(_clusters(clusters))
    return found


def nearest(units: Sequence[PruneUnit]) -> Html:
    """The units that were decided most narrowly."""
    rows = [
        Row(
            cells=[
                tag("span" if unit["kept"] else "del", _short(unit["text"])),
                f"{unit['id']}" + ("" if unit["field"] == "*" else f", {unit['field']}"),
                Cell(f"{unit['importance']:.4f}", key=unit["importance"]),
                unit["reason"],
            ]
        )
        for unit in units
    ]
    headings = columns("unit", "row", "#importance", "reason")
    return table(headings, rows, caption="The units nearest to the threshold; what fell is struck out.")


def _importance(edges: Sequence[float], kept: Sequence[int], dropped: Sequence[int], threshold: float | None) -> Html:
    box = Box()
    x = Scale(low=edges[0], high=edges[-1], start=box.left, end=box.right)
    highest = max(a + b for a, b in zip(kept, dropped, strict=True))
    y = Scale(low=0, high=max(1, highest) * 1.06, start=box.bottom, end=box.top)
    marks: list[Html] = []
    for low, high, stay, fall in zip(edges[:-1], edges[1:], kept, dropped, strict=True):
        between = f"importance {low:.2f} to {high:.2f}"
        for start, size, kind in ((0, stay, "kept"), (stay, fall, "fallen")):
            if size:
                top, foot = y(start + size), y(start)
                hint = f"{between}: {plural(size, 'unit')} {kind}"
                marks.append(svg.bar(x(low) + 0.5, top, x(high) - x(low) - 1, foot - top, class_=kind, hint=hint))
    if threshold is not None and edges[0] <= threshold <= edges[-1]:
        at = x(threshold)
        marks.append(svg.line([(at, box.top), (at, box.bottom)], class_="mean", hint=f"threshold {threshold:.4f}"))
    frame = svg.frame(box, svg.ticks(x), svg.ticks(y, is_whole=True), x_label="importance", y_label="units")
    words = f"{sum(kept):,} units kept, {sum(dropped):,} fallen"
    picture = svg.drawing(box, frame, marks, alternative=f"Importance of the units: {words}.")
    keys = svg.legend([("kept", "kept"), ("fallen", "fallen"), ("line mean", "threshold")])
    caption = "Kept units left of the threshold were centres of clusters, or the last of their text or class."
    return svg.figure("Importance", picture, caption=caption, legend=keys)


def _lengths(bands: Sequence[PruneLengths]) -> Html:
    shares = [
        (f"{_band(band)} ({band['units']:,})", 100 * (1 - band["kept"] / band["units"]))
        for band in bands
        if band["units"]
    ]
    title = "Prune rate by length"
    if not shares:
        return svg.no_figure(title, "Nothing to draw: there was no unit.")
    return plot_rows.bars(title, shares, x_label="units that fell (%)", caption="Words of a unit (units in all).")


def _clusters(bands: Sequence[PruneSizes]) -> Html:
    total = sum(band["clusters"] for band in bands)
    shares = [
        (f"{_band(band)} ({band['clusters']:,})", 100 * band["clusters"] / total) for band in bands if band["clusters"]
    ]
    caption = f"Units of a cluster (clusters in all, {total:,} together)."
    return plot_rows.bars("Cluster sizes", shares, x_label="share of the clusters (%)", caption=caption)


def _band(band: PruneLengths | PruneSizes) -> str:
    first, last = band["first"], band["last"]
    if last is None:
        return f"{first} or more"
    return f"{first}" if first == last else f"{first} to {last}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_UNIT else f"{line[: _LONGEST_UNIT - 1]}…"
