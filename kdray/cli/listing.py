"""`kdray methods`, `kdray corpora` and `kdray settings`."""

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from kdray.api.listing import list_corpora, list_methods, list_settings, method_about
from kdray.cli.show import bold, table, width


def show_methods(name: str | None, *, quiet: bool) -> Any:
    """
    Args:
        name: Of one method, to show all about it.
    """
    if name is not None:
        return _show_method(name, quiet=quiet)
    rows = list_methods()
    if not quiet:
        print(table([{name: row[name] for name in ("method", "title", "needs", "teachers", "status")} for row in rows]))
        print("\nkdray methods NAME shows the formula, the source and the settings of one; --json lists all sources")
    return rows


def _show_method(name: str, *, quiet: bool) -> Any:
    about = method_about(name)
    if not quiet:
        print(f"{bold(about['method'])}: {about['title']} ({about['status']})\n\n{about['head']}\n\n{bold('Settings')}")
        for row in about["settings"]:
            _show_setting(row)
        if not about["settings"]:
            print("none")
        print(f"\n{bold('Use')}\n{about['example']}")
        if re.search(r"\bD\d", about["head"]):
            print("\nD1, D2 and so on are explained in docs/decisions.md.")
    return about


def show_corpora(*, quiet: bool) -> Any:
    rows = list_corpora()
    if not quiet:
        print(table(rows))
    return rows


def show_settings(prefix: str, *, quiet: bool) -> Any:
    rows = list_settings(prefix)
    for row in () if quiet else rows:
        _show_setting(row, of=row["of"])
    return rows


def _show_setting(row: Mapping[str, str], *, of: str = "") -> None:
    """A setting and its meaning; None of Python is null in a run file."""
    print(f"{bold(row['key'])} = {row['default'] or '(required)'}{f' ({of})' if of else ''}: {row['type']}")
    if meaning := re.sub(r"\bNone\b", "null", row["meaning"]):
        print(textwrap.indent(textwrap.fill(meaning, width() - 4), "    "))
