"""The tables and figures of the papers, as printed."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import yaml

from kdray.errors import ConfigError
from kdray.records import Settings


class Published(Settings):
    """One table or figure.

    Attributes:
        columns, rows: What is printed; a figure without numbers has none.
        commands: What trains a system like that of a row with kdray, where the table is not a comparison of methods.
    """

    title: str
    unit: str = ""
    columns: tuple[str, ...] = ()
    rows: Mapping[str, Sequence[int | float | None]] = {}
    commands: Mapping[str, str] = {}

    def value(self, row: str, column: str) -> float | None:
        """None where the paper prints no number."""
        return self.rows[row][self.columns.index(column)] if self.rows else None


@cache
def every_published() -> Mapping[str, Published]:
    """By name, such as `s0-table4`, in the papers' order."""
    text = files("kdray.papers").joinpath("published.yaml").read_text(encoding="utf-8")
    return {name: Published.model_validate(each) for name, each in yaml.safe_load(text).items()}


def published(name: str) -> Published:
    """
    Raises:
        ConfigError: There is no such table or figure.
    """
    if name not in every_published():
        of_paper = [each for each in every_published() if each.partition("-")[0] == name.partition("-")[0]]
        every = f"allowed are {', '.join(of_paper)}." if of_paper else "kdray papers lists all."
        raise ConfigError(f"{name}: no such table or figure; {every}")
    return every_published()[name]
