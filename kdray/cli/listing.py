"""`kdray methods`, `kdray corpora` and `kdray settings`."""

import textwrap
from typing import Any

from kdray.api.listing import list_corpora, list_methods, list_settings
from kdray.cli.show import bold, table, width


def show_methods(*, quiet: bool) -> Any:
    rows = list_methods()
    if not quiet:
        print(table([{name: row[name] for name in ("method", "title", "needs", "teachers", "status")} for row in rows]))
        print("\n--json has their sources too; kdray settings method.NAME lists the settings of a method")
    return rows


def show_corpora(*, quiet: bool) -> Any:
    rows = list_corpora()
    if not quiet:
        print(table(rows))
    return rows


def show_settings(prefix: str, *, quiet: bool) -> Any:
    rows = list_settings(prefix)
    for row in () if quiet else rows:
        of = f" ({row['of']})" if row["of"] else ""
        print(f"{bold(row['key'])} = {row['default'] or '(required)'}{of}: {row['type']}")
        if row["meaning"]:
            print(textwrap.indent(textwrap.fill(row["meaning"], width() - 4), "    "))
    return rows
