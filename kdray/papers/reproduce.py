"""A table of a paper beside what is measured: one comparison for each column."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdray.api.experiments import compare_variants
from kdray.config import apply_overrides, parse
from kdray.engines.choice import EngineChoice
from kdray.experiments.documents import Provenance
from kdray.papers.published import published
from kdray.papers.recipes import SIZES, Scale, recipe_of, run_settings, variants


def reproduce(
    name: str, scale: Scale, *, store: str, overrides: Sequence[str] = (), engine: EngineChoice, command: str
) -> dict[str, Any]:
    """Train what a table needs, or find it in the store, and put published and measured values side by side.

    At the scale `smoke` every column would be the same corpus, so only the first one is run.

    Args:
        overrides: Settings of the runs, as `key=value`.

    Returns:
        `lines` (row, column, published, measured, std, difference), `seeds` and `differs`.

    Raises:
        ConfigError: There is no such table, or it cannot be run.
    """
    printed, recipe, size = published(name), recipe_of(name), SIZES[scale]
    columns = list(recipe.columns) if size.corpus is None else [next(iter(recipe.columns))]
    seeds = list(range(size.seeds))
    rows = variants(recipe, scale)
    lines: list[dict[str, Any]] = []
    corpora: dict[str, str | None] = {}
    for column in columns:
        run = parse(apply_overrides({"store": store, **run_settings(recipe, column, scale)}, overrides), source=name)
        title = f"papers-{name}-{run.corpus.label}-{scale}"
        origin = Provenance(run.corpus.name, command, command)
        result = compare_variants(title, rows, run, seeds=seeds, engine=engine, provenance=origin).result
        corpora[result["corpus"]["name"]] = result["corpus"]["note"]
        scores = {row["label"]: row["test"] for row in result["confirmation"]}
        lines += [
            _line(row, column, printed.value(row, column), scores[row], comparable=size.corpus is None)
            for row in recipe.rows
        ]
    notes = [f"{corpus}: {note}" for corpus, note in corpora.items() if note]
    return {
        "name": name,
        "title": printed.title,
        "unit": printed.unit,
        "scale": scale,
        "lines": lines,
        "seeds": seeds,
        "differs": [*size.differs, *notes],
    }


def _line(row: str, column: str, value: float | None, scores: Mapping[str, Any], *, comparable: bool) -> dict[str, Any]:
    measured = 100 * scores["mean"]
    return {
        "row": row,
        "column": column,
        "published": value,
        "measured": measured,
        "std": None if scores["std"] is None else 100 * scores["std"],
        "difference": measured - value if comparable and value is not None else None,
    }
