"""Plain tables for a terminal."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Ray is loaded only where it is used
    from kdray.config import RunConfig
    from kdray.engines.ray.plan import Trials


def struck_out(text: str) -> str:
    """A dropped sentence: struck out on a terminal, in brackets elsewhere; the space after it stays outside."""
    words = text.rstrip()
    marked = f"\x1b[9m{words}\x1b[29m" if sys.stdout.isatty() else f"[-{words}-]"
    return marked + text[len(words) :]


def bold(text: str) -> str:
    """In bold on a terminal, as it is elsewhere."""
    return f"\x1b[1m{text}\x1b[22m" if sys.stdout.isatty() else text


def width() -> int:
    """Columns of the terminal, 100 at most."""
    return min(100, shutil.get_terminal_size().columns)


def table(rows: Sequence[Mapping[str, Any]], *, decimals: int = 4) -> str:
    """Columns in the order in which the rows first name them; what a row lacks is a dash.

    Args:
        decimals: Of fractions below 100.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_cell(row.get(name), decimals) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    numeric = [all(not isinstance(row.get(name), str) for row in rows) for name in names]
    lines = [
        "  ".join(_aligned(cell, w, right) for cell, w, right in zip(c, widths, numeric, strict=True)) for c in cells
    ]
    return "\n".join([lines[0].rstrip(), "  ".join("-" * w for w in widths), *(line.rstrip() for line in lines[1:])])


def show_plan(run: "RunConfig", engine: Any, students: "Trials | None" = None) -> None:
    """Print what an engine on Ray will make, and warnings about what may not fit; one process needs no plan."""
    from kdray.engines import InProcess

    if isinstance(engine, InProcess):
        return
    from kdray.engines.ray.plan import plan, warnings

    planned = plan(run, engine, students)
    print("\nartifacts that are not in the store yet will be made like this:")
    print(table([each.row() for each in planned]), end="\n\n", flush=True)
    for sentence in warnings(planned):
        print(f"kdray: {sentence}", file=sys.stderr, flush=True)


def _aligned(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{decimals}f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
