"""Scales, axes and marks as pure functions: numbers in, SVG out. Positions are in units of the drawing's view box."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kdray.report.markup import Child, Html, markup, tag
from kdray.report.words import number

Tick = tuple[float, str]  # position, label
Point = tuple[float, float]
CHARACTER = 7.2  # mean width of a label's characters, with some to spare


@dataclass(frozen=True)
class Box:
    """The drawing and, inside it, the rectangle that the axes enclose."""

    left: float = 58
    right: float = 446
    top: float = 12
    bottom: float = 226
    width: float = 460
    height: float = 272


@dataclass(frozen=True)
class Scale:
    """Maps `low`..`high` to the positions `start`..`end`, linearly or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (
            (math.log10(v) for v in (self.low, self.high, value)) if self.is_log else (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def scale(values: Iterable[float], start: float, end: float, *, is_log: bool = False, margin: float = 0.06) -> Scale:
    """A scale that holds all values (at least one; positive if `is_log`) and `margin` of their range on either side."""
    low, high = _range(list(values))
    if is_log:
        factor = (high / low) ** margin
        return Scale(low=low / factor, high=high * factor, start=start, end=end, is_log=True)
    padding = (high - low) * margin
    return Scale(low=low - padding, high=high + padding, start=start, end=end)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low < high:
        return low, high
    half = abs(low) * 0.1 or 0.5  # a single value still needs an axis around it
    return low - half, high + half


def ticks(axis: Scale, *, about: int = 5, is_whole: bool = False) -> list[Tick]:
    """Round values inside the scale, roughly `about` of them, with their labels; `is_whole` for counts."""
    if axis.is_log:
        return [(axis(value), number(value)) for value in _log_values(axis)]
    rough = (axis.high - axis.low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * nice for nice in (1, 2, 5, 10)), key=lambda candidate: abs(math.log(candidate / rough)))
    step = max(1.0, step) if is_whole else step
    first, last = math.ceil(axis.low / step), math.floor(axis.high / step)
    decimals = max(0, -math.floor(math.log10(step)))
    return [(axis(i * step), _label(i * step, decimals)) for i in range(first, last + 1)]


def _label(value: float, decimals: int) -> str:
    return number(value) if decimals > 4 or abs(value) >= 1e6 else f"{value + 0.0:.{decimals}f}"


def _log_values(axis: Scale) -> list[float]:
    powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    for multiples in ((1,), (1, 3), (1, 2, 5)):
        inside = [m * 10.0**p for p in powers for m in multiples if axis.low <= m * 10.0**p <= axis.high]
        if len(inside) >= 3:
            break
    return inside[:: math.ceil(len(inside) / 6)]


def frame(box: Box, x_ticks: Sequence[Tick], y_ticks: Sequence[Tick], *, x_label: str, y_label: str) -> Html:
    """Grid lines, tick labels and axis labels; an empty label is left out."""
    vertical = [tag("line", x1=x, x2=x, y1=box.top, y2=box.bottom, class_="grid") for x, _ in x_ticks]
    horizontal = [tag("line", x1=box.left, x2=box.right, y1=y, y2=y, class_="grid") for y, _ in y_ticks]
    below = [text(x, box.bottom + 17, label, anchor="middle") for x, label in _apart(x_ticks)]
    beside = [text(box.left - 7, y + 4, label, anchor="end") for y, label in y_ticks]
    middle = (box.left + box.right) / 2
    labels = [text(middle, box.height - 6, x_label, anchor="middle", class_="axis-label")] if x_label else []
    if y_label:
        labels.append(_sideways(13, (box.top + box.bottom) / 2, y_label))
    baseline = tag("line", x1=box.left, x2=box.right, y1=box.bottom, y2=box.bottom, class_="axis")
    return markup(vertical, horizontal, baseline, below, beside, labels)


def _apart(labels: Sequence[Tick]) -> list[Tick]:
    """The labels below an axis that do not run into the one before them."""
    kept: list[Tick] = []
    for x, label in labels:
        if not kept or x - kept[-1][0] > CHARACTER * (len(label) + len(kept[-1][1])) / 2:
            kept.append((x, label))
    return kept


def _sideways(x: float, y: float, label: str) -> Html:
    return tag(
        "text", label, transform=f"translate({x:.1f} {y:.1f}) rotate(-90)", text_anchor="middle", class_="axis-label"
    )


def text(x: float, y: float, label: str, *, anchor: str = "start", class_: str = "tick") -> Html:
    """A label; `anchor` is `start`, `middle` or `end`."""
    return tag("text", label, x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def line(points: Sequence[Point], *, class_: str, hint: str = "") -> Html:
    """A line through the points; `hint` is shown on hovering."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("polyline", _hint(hint), points=path, class_=f"line {class_}")


def bar(x: float, y: float, width: float, height: float, *, class_: str, hint: str) -> Html:
    """A rectangle from its upper left corner, at least one unit wide so that it can be seen."""
    return tag("rect", _hint(hint), x=float(x), y=float(y), width=max(1.0, width), height=float(height), class_=class_)


def dot(x: float, y: float, *, class_: str, hint: str) -> Html:
    """A filled circle: a complete trial."""
    return tag("circle", _hint(hint), cx=float(x), cy=float(y), r=4, class_=f"mark {class_}")


def diamond(x: float, y: float, *, class_: str, hint: str) -> Html:
    """A hollow diamond: a pruned trial."""
    return tag("path", _hint(hint), d=f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5-5z", class_=f"mark hollow {class_}")


def cross(x: float, y: float, *, class_: str, hint: str) -> Html:
    """A cross: a failed trial."""
    return tag("path", _hint(hint), d=f"M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8", class_=f"mark hollow {class_}")


def ring(x: float, y: float) -> Html:
    """A ring around the mark of the best trial."""
    return tag("circle", cx=float(x), cy=float(y), r=8, class_="ring")


MARKS: dict[str, Callable[..., Html]] = {"complete": dot, "pruned": diamond, "failed": cross}


def _hint(words: str) -> Html:
    return tag("title", words) if words else Html()


def drawing(box: Box, *children: Child, alternative: str) -> Html:
    """The SVG element; `alternative` says in words what the drawing shows."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {box.width:.0f} {box.height:.0f}",
        role="img",
        aria_label=alternative,
    )


def figure(title: str, picture: Child, *, caption: Child = "", legend: Child = "") -> Html:
    """A titled figure: legend above the picture, caption below it."""
    return tag("figure", tag("h3", title), legend, picture, tag("figcaption", caption))


def no_figure(title: str, why: str) -> Html:
    """In place of a figure that would be empty: the title and the reason."""
    return tag("figure", tag("h3", title), tag("p", why, class_="nothing"), class_="empty")


def legend(entries: Sequence[tuple[str, str]]) -> Html:
    """(class, words) pairs: a small mark of that class beside the words. `line` classes get a stroke."""
    return tag("p", [tag("span", _key(class_), words) for class_, words in entries], class_="legend")


def _key(class_: str) -> Html:
    middle = (8, 6)
    if class_ in MARKS:
        picture = MARKS[class_](*middle, class_=class_, hint="")
    elif class_ == "best":
        picture = tag("circle", cx=8, cy=6, r=5, class_="ring")
    elif class_.startswith("line "):
        picture = tag("line", x1=0, x2=16, y1=6, y2=6, class_=class_)
    else:
        picture = tag("rect", x=2, y=0, width=12, height=12, class_=class_)
    return tag("svg", picture, viewBox="0 0 16 12", class_="key", aria_hidden="true")
