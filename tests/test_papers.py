"""The papers' tables: complete and consistent as data, runnable in all scales, and one of them run on tiny models."""

import json
from pathlib import Path

import pytest
import tiny

from kdray.cli.main import main
from kdray.config import parse
from kdray.engines.choice import Local
from kdray.errors import ConfigError
from kdray.experiments.compare import candidates_of
from kdray.papers import RECIPES, SIZES, every_published, published
from kdray.papers.recipes import recipe_of, run_settings, variants
from kdray.papers.reproduce import reproduce


def test_every_row_has_a_value_or_an_empty_cell_for_every_column() -> None:
    names = list(every_published())
    kinds = {"s0-table": 6, "s0-figure": 3, "s1-table": 5, "s1-figure": 2}
    assert {kind: sum(name.startswith(kind) for name in names) for kind in kinds} == kinds
    for name, each in every_published().items():
        assert all(len(values) == len(each.columns) for values in each.rows.values()), name


def test_printed_averages_are_those_of_their_rows() -> None:
    """A wrong digit in the data would show here."""
    for name in ("s0-table2", "s1-table3"):
        for label, (*values, mean) in published(name).rows.items():
            assert mean == pytest.approx(sum(values) / len(values), abs=0.06), (name, label)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"s0-table9: no such table or figure; allowed are s0-table1, "):
        published("s0-table9")
    with pytest.raises(ConfigError, match=r"s0-table1 is listed but cannot be run yet; allowed are s0-table4, "):
        recipe_of("s0-table1")


@pytest.mark.parametrize("scale", SIZES)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_that_of_its_table_and_fits(name, scale) -> None:
    recipe, printed = recipe_of(name), published(name)
    assert set(recipe.rows) <= set(printed.rows)
    assert set(recipe.columns) <= set(printed.columns)
    for column in recipe.columns:
        run = parse(run_settings(recipe, column, scale), source=name)
        candidates = candidates_of(variants(recipe, scale), run)
        assert len({each.run.model_dump_json() for each in candidates}) == len(recipe.rows) + 1


def test_the_list_names_all(capsys) -> None:
    assert main(["papers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows if row["runs here"] == "yes"] == [n for n in every_published() if n in RECIPES]


def test_a_table_in_smoke_scale_on_tiny_models(tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    changes = {
        "corpus": tiny.opinions(tiny_corpus),
        "teachers": [tiny.teacher(tiny_encoder)],
        "student": {"encoder": str(tiny_encoder), "layers": 2},
        "assistant.train": tiny.training(),
        "train": tiny.training(),
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    found = reproduce(
        "s1-table4", "smoke", store=str(tmp_path), overrides=overrides, engine=Local(), command="kdray papers"
    )
    assert [line["row"] for line in found["lines"]] == ["DeKD", "w/o DS", "w/o TA", "w/o DOA"]
    assert [line["published"] for line in found["lines"]] == [87.48, 86.84, 86.74, 86.33]
    assert all(0 <= line["measured"] <= 100 and line["difference"] is None for line in found["lines"])
    assert found["seeds"] == [0]
    assert "one epoch of 200 rows" in found["differs"]
    assert (tmp_path / "sweeps" / "papers-s1-table4-folder-smoke" / "result.json").is_file()
