"""Figures with one row per name: bars, strips of dots, and the timeline of workers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kdray.report import svg
from kdray.report.markup import Html
from kdray.report.svg import Box, Scale

_LONGEST = 24  # characters of a row's name
_ROW = 26.0


@dataclass(frozen=True)
class Dot:
    """One dot of a strip: its value, its kind (`complete`, `pruned`, `failed`), its hint, whether it is ringed."""

    value: float
    hint: str
    kind: str = "complete"
    is_best: bool = False


@dataclass(frozen=True)
class Span:
    """One bar on a timeline, in seconds from the first start."""

    start: float
    end: float
    kind: str
    name: str
    hint: str


def row_box(names: Sequence[str], *, width: float = 460) -> Box:
    """A box with a row per name and room for the longest name."""
    longest = max(len(cut(name)) for name in names)
    bottom = 12 + _ROW * len(names)
    left = min(18 + svg.CHARACTER * longest, width * 0.42)
    return Box(left=left, right=width - 16, bottom=bottom, width=width, height=bottom + 46)


def cut(name: str, longest: int = _LONGEST) -> str:
    """A name of at most `longest` characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def bars(title: str, shares: Sequence[tuple[str, float]], *, x_label: str, caption: str) -> Html:
    """One bar per (name, percentage), as given."""
    box = row_box([name for name, _ in shares])
    # Room on the right for the number beside the longest bar.
    x = Scale(low=0, high=max(1e-9, max(value for _, value in shares)) * 1.18, start=box.left, end=box.right)
    marks: list[Html] = []
    for row, (name, value) in enumerate(shares):
        y = box.top + row * _ROW
        marks.append(
            svg.bar(box.left, y + 5, x(value) - box.left, _ROW - 10, class_="complete", hint=f"{name}: {value:.1f} %")
        )
        marks.append(svg.text(x(value) + 5, y + _ROW / 2 + 4, f"{value:.0f} %"))
    frame = svg.frame(box, svg.ticks(x), _names(box, [name for name, _ in shares]), x_label=x_label, y_label="")
    alternative = f"{title}: " + ", ".join(f"{name} {value:.0f} %" for name, value in shares)
    return svg.figure(title, svg.drawing(box, frame, marks, alternative=alternative), caption=caption)


def strip(
    title: str,
    rows: Sequence[tuple[str, Sequence[Dot]]],
    *,
    x_label: str,
    caption: str,
    width: float = 460,
    legend: str | Html = "",
) -> Html:
    """A row of dots per name and a tick at their mean (of complete ones); at least one dot in all."""
    box = row_box([name for name, _ in rows], width=width)
    x = svg.scale([dot.value for _, dots in rows for dot in dots], box.left, box.right)
    marks = [_strip_row(x, box.top + (row + 0.5) * _ROW, dots) for row, (_, dots) in enumerate(rows)]
    frame = svg.frame(box, svg.ticks(x, about=4), _names(box, [name for name, _ in rows]), x_label=x_label, y_label="")
    alternative = f"{title}. {x_label}, mean per row: " + "; ".join(
        f"{name} {_mean(dots):.3g}" if dots else f"{name} none" for name, dots in rows
    )
    return svg.figure(title, svg.drawing(box, frame, marks, alternative=alternative), caption=caption, legend=legend)


def _strip_row(x: Scale, middle: float, dots: Sequence[Dot]) -> list[Html]:
    marks: list[Html] = []
    for i, dot in enumerate(dots):
        # The golden ratio spreads any number of dots evenly, so equal values stay visible.
        y = middle + (math.modf(i * 0.618034)[0] - 0.5) * 10
        marks.append(svg.MARKS[dot.kind](x(dot.value), y, class_=dot.kind, hint=dot.hint))
        if dot.is_best:
            marks.append(svg.ring(x(dot.value), y))
    complete = [dot for dot in dots if dot.kind == "complete"]
    if complete:
        mean = x(_mean(complete))
        marks.append(svg.line([(mean, middle - 11), (mean, middle + 11)], class_="mean", hint="mean"))
    return marks


def timeline(title: str, workers: Sequence[tuple[str, Sequence[Span]]], *, caption: str, legend: Html) -> Html:
    """A row per worker, a bar per trial."""
    box = row_box([name for name, _ in workers])
    divisor, unit = _unit(max(span.end for _, spans in workers for span in spans))
    end = max(span.end for _, spans in workers for span in spans) / divisor
    x = Scale(low=0, high=end or 1.0, start=box.left, end=box.right)
    marks: list[Html] = []
    for row, (_, spans) in enumerate(workers):
        y = box.top + row * _ROW + 4
        for span in spans:
            left, right = x(span.start / divisor), x(span.end / divisor)
            marks.append(svg.bar(left, y, right - left - 1, _ROW - 8, class_=f"span {span.kind}", hint=span.hint))
            if right - left > 7.5 * len(span.name) + 6:
                marks.append(svg.text((left + right) / 2, y + 13, span.name, anchor="middle", class_="on-bar"))
    names = [name for name, _ in workers]
    frame = svg.frame(
        box, svg.ticks(x), _names(box, names), x_label=f"time since the first trial started ({unit})", y_label=""
    )
    count = sum(len(spans) for _, spans in workers)
    alternative = f"{title}: {count} trials on {len(workers)} workers over {end:.3g} {unit}"
    return svg.figure(title, svg.drawing(box, frame, marks, alternative=alternative), caption=caption, legend=legend)


def stacked(title: str, parts: Sequence[tuple[str, float, str]], *, x_label: str, caption: str) -> Html:
    """One bar made of (name, seconds, words for them), with the legend that names each part."""
    box = Box(left=14, right=446, top=8, bottom=48, width=460, height=94)
    total = sum(seconds for _, seconds, _ in parts)
    divisor, unit = _unit(total)
    x = Scale(low=0, high=total / divisor, start=box.left, end=box.right)
    marks: list[Html] = []
    before = 0.0
    for i, (name, seconds, words) in enumerate(parts):
        left, right = x(before / divisor), x((before + seconds) / divisor)
        marks.append(svg.bar(left, box.top, right - left, 40, class_=f"part-{i}", hint=f"{name}: {words}"))
        before += seconds
    frame = svg.frame(box, svg.ticks(x, about=6), [], x_label=f"{x_label} ({unit})", y_label="")
    alternative = f"{title}: " + ", ".join(f"{name} {words}" for name, _, words in parts)
    named = svg.legend([(f"part-{i}", f"{name} {words}") for i, (name, _, words) in enumerate(parts)])
    return svg.figure(title, svg.drawing(box, frame, marks, alternative=alternative), caption=caption, legend=named)


def _unit(seconds: float) -> tuple[float, str]:
    """The unit in which a time axis reads well, and its seconds."""
    if seconds < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")


def _names(box: Box, names: Sequence[str]) -> list[tuple[float, str]]:
    longest = min(_LONGEST, int((box.left - 10) / svg.CHARACTER))
    return [(box.top + (row + 0.5) * _ROW, cut(name, longest)) for row, name in enumerate(names)]


def _mean(dots: Sequence[Dot]) -> float:
    return math.fsum(dot.value for dot in dots) / len(dots)
