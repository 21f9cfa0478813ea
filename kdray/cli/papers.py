"""The papers' tables: listed, or reproduced beside the published numbers."""

import argparse
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from kdray.cli.engine import add_engine_flags, check_engine_flags, engine_of
from kdray.cli.show import table
from kdray.errors import ConfigError
from kdray.papers import CORPORA, RECIPES, SIZES, every_published, published
from kdray.secrets import without_passwords


def add_papers(commands: Any, common: argparse.ArgumentParser) -> None:
    what = "list the papers' tables and figures, or reproduce one"
    papers = commands.add_parser("papers", help=what, description=what, parents=[common])
    papers.add_argument("name", nargs="?", help="for example s0-table4; without it, all are listed")
    papers.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings of the runs, such as train.epochs=2"
    )
    papers.add_argument(
        "--scale",
        choices=tuple(SIZES),
        default="smoke",
        help="smoke: the sample, one seed; cpu: 2,000 rows, small models; full: the paper's settings (default smoke)",
    )
    papers.add_argument("--store", default="store", help="folder or URI (default store)")
    add_engine_flags(papers)


def show_papers(arguments: argparse.Namespace) -> Any:
    if arguments.name is None:
        return _listed(quiet=arguments.json)
    check_engine_flags(arguments)
    if published(arguments.name).commands:
        _refuse(arguments, "; put it after the command of a row")
        return _system(arguments.name, quiet=arguments.json)
    if arguments.name in CORPORA:
        _refuse(arguments, "; leave it out")
        from kdray.papers.sizes import count_rows

        found = count_rows(arguments.name)
    else:
        from kdray.papers.reproduce import reproduce

        found = reproduce(
            arguments.name,
            arguments.scale,
            store=arguments.store,
            overrides=arguments.overrides,
            engine=engine_of(arguments),
            command=without_passwords(shlex.join(["kdray", *sys.argv[1:]])),
        )
    if not arguments.json:
        _show(found)
    return found


def _show(found: Mapping[str, Any]) -> None:
    print(f"\n{found['name']}: {found['title']} ({found['unit']})")
    print(table(found["lines"], decimals=_decimals(found["unit"])))
    if seeds := found.get("seeds"):
        print(f"seeds: {', '.join(map(str, seeds))}")
    print("differs from the paper:" + ("".join(f"\n- {each}" for each in found["differs"]) or " nothing that is known"))


def _decimals(unit: str) -> int:
    return 2 if "%" in unit else 4


def _refuse(arguments: argparse.Namespace, rest: str) -> None:
    """Settings of runs, where nothing is trained."""
    if arguments.overrides:
        raise ConfigError(f"{arguments.name} trains nothing, so {arguments.overrides[0]} has no effect{rest}.")


def _system(name: str, *, quiet: bool) -> dict[str, Any]:
    """A system of the survey: what is printed of it, and the commands that train it."""
    printed = published(name)
    lines = [{"row": row, **dict(zip(printed.columns, values, strict=True))} for row, values in printed.rows.items()]
    if not quiet:
        print(f"\n{name}: {printed.title}{f' ({printed.unit})' if printed.unit else ''}")
        print(table(lines, decimals=_decimals(printed.unit)))
        print("\n".join(f"\n{row}:\n{command}" for row, command in printed.commands.items()))
    return {"name": name, "title": printed.title, "unit": printed.unit, "lines": lines, "commands": printed.commands}


def _listed(*, quiet: bool) -> list[dict[str, Any]]:
    rows = [
        {
            "name": name,
            "title": each.title,
            "numbers": sum(value is not None for row in each.rows.values() for value in row),
            "runs here": "yes" if name in RECIPES or name in CORPORA else "by command" if each.commands else "no",
        }
        for name, each in every_published().items()
    ]
    if not quiet:
        print(table(rows))
    return rows
