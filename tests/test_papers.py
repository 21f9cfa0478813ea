"""The papers' tables: complete and consistent as data, runnable in all scales, and one of them run on tiny models."""

import json
import re
import shlex
from pathlib import Path

import pages
import pytest
import tagged
import tiny

from kdray.cli.main import main
from kdray.config import load, parse
from kdray.engines.choice import Local
from kdray.errors import ConfigError
from kdray.experiments.compare import candidates_of
from kdray.papers import RECIPES, SIZES, every_published, published
from kdray.papers.recipes import recipe_of, run_settings, variants
from kdray.papers.reproduce import reproduce
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Store


def test_every_row_has_a_value_or_an_empty_cell_for_every_column() -> None:
    names = list(every_published())
    kinds = {"s0-table": 6, "s0-figure": 3, "s1-table": 5, "s1-figure": 2, "s2-": 9}
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


SYSTEMS = {(name, row): line for name, each in every_published().items() for row, line in each.commands.items()}


def test_every_system_of_the_survey_has_its_numbers_and_commands_on_the_page(capsys) -> None:
    survey = {name: each for name, each in every_published().items() if name.startswith("s2-")}
    assert set(SYSTEMS) == {(name, row) for name, each in survey.items() for row in each.rows}
    page = pages.ROOT / "docs/papers.md"
    lines = dict(re.findall(r"^\| `(s2-[\w-]+)` (.*)$", page.read_text(), re.MULTILINE))
    assert set(lines) == set(survey)
    for name, each in survey.items():
        values = [value for row in each.rows.values() for value in row if value is not None]
        missing = [value for value in values if not re.search(rf"(?<![\d.]){value:.10g}(\.0)?(?!\d)", lines[name])]
        assert missing == [], name
    given = [line for line in pages.shell_lines(page) if not line.startswith("kdray papers")]
    assert given == list(SYSTEMS.values())
    assert main(["papers", "s2-soft-labels", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["lines"][0] == {"row": "naive Bayes", "alone": 78.7, "soft labels": 80.3, "gain": None}
    assert shown["commands"] == dict(published("s2-soft-labels").commands)
    assert main(["papers", "s2-urls", "train.epochs=2"]) == 2
    assert "s2-urls trains nothing, so train.epochs=2 has no effect" in capsys.readouterr().err


@pytest.fixture(scope="module")
def twelve_layers(tmp_path_factory) -> Path:
    return tiny.save_encoder(tmp_path_factory.mktemp("twelve") / "encoder", layers=12)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def tags(tmp_path_factory) -> Path:
    return tagged.save(tmp_path_factory.mktemp("tags") / "films", train=48, test=16)


@pytest.mark.parametrize(("name", "row"), SYSTEMS, ids=str)
def test_the_command_of_a_system_trains_such_a_student(name, row, twelve_layers, tiny_corpus, tags, store) -> None:
    """With its own method and student, on tiny rows, from tiny encoders of as many layers."""
    program, command, file, *words = shlex.split(SYSTEMS[name, row])
    assert (program, command) == ("kdray", "run")
    run = load(pages.ROOT / file, words)
    is_tagged = "ner" in name
    changes = {
        "corpus": tagged.section(tags) if is_tagged else tiny.opinions(tiny_corpus),
        "teachers": [tiny.teacher(twelve_layers, each.name, layers=each.layers) for each in run.teachers],
        "outputs.quality_check": False,
        "assistant.train": tiny.training(),
        "train": tiny.training(),
    }
    if run.student.width:
        changes["student.width"] = 8
    if run.method.name == "tinybert":
        changes["method.intermediate_epochs"] = 1
    own = [f"store={store}", *(f"{key}={json.dumps(value)}" for key, value in changes.items())]
    small = load(pages.ROOT / file, [*words, *own])
    context = Context(Store(small.store), InProcess(), data_dir=None)
    result = result_of(distill(small, prepare(small, context), context))
    assert result["spec"]["method"]["name"] == run.method.name
    assert 0 <= result["metrics"]["test"][result["metric"]] <= 1
    assert small.student.architecture == run.student.architecture


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
