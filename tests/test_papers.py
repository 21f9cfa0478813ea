"""The papers' tables: complete and consistent as data, runnable in all scales, and one of them run on tiny models."""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pages
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tagged
import tiny

from kdray.cli.main import main
from kdray.config import load, parse
from kdray.engines.choice import Local
from kdray.errors import ConfigError
from kdray.experiments.compare import candidates_of
from kdray.papers import CORPORA, RECIPES, SIZES, Scale, every_published, published
from kdray.papers.recipes import recipe_of, rows_by_teachers, run_settings
from kdray.papers.reproduce import reproduce
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.stages.validate_run import check_depths
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
    with pytest.raises(ConfigError, match=r"s0-figure2 has nothing to run; allowed are s0-table2, "):
        recipe_of("s0-figure2")


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
    rows, columns = (recipe.corpora, recipe.effects) if recipe.effects else (recipe.rows, recipe.corpora)
    assert set(rows) | set(recipe.alone) <= set(printed.rows) or not printed.rows
    assert set(columns) <= set(printed.columns)
    for teachers, changes in rows_by_teachers(recipe, scale).items():
        run, *_ = (parse(run_settings(recipe, each, scale, teachers), source=name) for each in recipe.corpora)
        candidates = candidates_of(changes, run)[: len(changes)]
        assert len({each.run.model_dump_json() for each in candidates}) == len(changes)
        for each in candidates:
            if scale != "full":  # whose encoders may be on the hub only
                check_depths(each.run)
            if each.run.method.uses_assistant:
                each.run.method.assistant_depths(student=each.run.student.depth, teacher=SIZES[scale].layers)


def test_smaller_models_leave_out_rows_that_they_make_equal_or_cannot_have() -> None:
    def rows(name: str, scale: Scale) -> list[str]:
        return [row for each in rows_by_teachers(recipe_of(name), scale).values() for row in each]

    assert rows("s0-table2", "cpu") == [
        row for row in published("s0-table2").rows if "BERT_L" not in row and "RoB" not in row
    ]
    assert rows("s0-table2", "full") == list(published("s0-table2").rows)
    figure = {"full": {3: range(4, 12), 6: range(7, 12)}, "cpu": {3: (4, 6, 8, 10), 6: (8, 10)}}
    for scale, depths in figure.items():
        wanted = [f"student of {layers} layers, assistant of {depth}" for layers in depths for depth in depths[layers]]
        assert rows("s1-figure3", scale) == wanted


def test_the_list_names_all(capsys) -> None:
    assert main(["papers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    runs = {row["name"]: row["runs here"] for row in rows}
    assert {name for name, how in runs.items() if how == "yes"} == {*RECIPES, *CORPORA}
    assert [name for name, how in runs.items() if how == "no"] == ["s0-figure2"]


@pytest.fixture
def tiny_smoke(tiny_six_layers: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scale `smoke` with tiny models on tiny rows."""
    size = dataclasses.replace(
        SIZES["smoke"],
        corpus=tiny.opinions(tiny_corpus),
        limit=None,
        encoder=str(tiny_six_layers),
        train=tiny.training(),
    )
    monkeypatch.setitem(SIZES, "smoke", size)


@pytest.fixture(scope="module")
def tiny_six_layers(tmp_path_factory) -> Path:
    return tiny.save_encoder(tmp_path_factory.mktemp("six") / "encoder", layers=6)


def smoke(name: str, store: Path, *overrides: str) -> dict[str, Any]:
    return reproduce(name, "smoke", store=str(store), overrides=overrides, engine=Local(), command="kdray papers")


@pytest.mark.usefixtures("tiny_smoke")
def test_students_of_two_teachers_are_compared_apart_beside_the_teachers_themselves(store: Path) -> None:
    found = smoke("s1-table1", store)
    lines = {line["row"]: line for line in found["lines"]}
    assert {row: line["published"] for row, line in lines.items()} == {
        row: values[0] for row, values in published("s1-table1").rows.items()
    }
    assert all(0 <= line["measured"] <= 100 and line["difference"] is None for line in lines.values())
    assert found["seeds"] == [0]
    assert "one epoch of 200 rows" in found["differs"]
    for number, teacher in enumerate(("BERT-base, 12-layer", "BERT-large, 24-layer")):
        title = "papers-s1-table1-folder-smoke" + ("-2" if number else "")
        (record,) = json.loads((store / "sweeps" / title / "result.json").read_text())["teachers"]
        mine = {key: lines[teacher][key] for key in ("measured", "std", "parameters")}
        assert mine == {"measured": 100 * record["test"], "std": None, "parameters": record["parameters"]}
    sizes = [lines[row]["parameters"] for row in ("BERT-base, 3-layer", "BERT-base, 12-layer", "BERT-large, 24-layer")]
    assert sizes == sorted(set(sizes))
    assert any("bert-base-uncased is the first 4 layers of MiniLM" in each for each in found["differs"])


@pytest.mark.usefixtures("tiny_smoke")
def test_clusterings_have_a_score_and_a_silhouette(store: Path) -> None:
    lines = smoke("s0-figure3", store)["lines"]
    assert [(line["column"], line["row"]) for line in lines] == [
        (column, row) for column in ("accuracy", "silhouette") for row in ("Ours", "KMeans", "GMM")
    ]
    assert all(0 <= line["measured"] <= 1 for line in lines[:3])
    assert len({line["measured"] for line in lines[3:]}) > 1


@pytest.mark.usefixtures("tiny_smoke")
def test_effects_of_pruning_are_those_of_the_policy_of_the_run(store: Path) -> None:
    def measured(name: str, *overrides: str) -> dict[str, float]:
        lines = smoke(name, store, *overrides)["lines"]
        assert {line["row"] for line in lines} == {"SST-2"}
        return {line["column"]: line["measured"] for line in lines}

    literal = measured("s0-table5", "prune.policy=literal")
    assert literal["prune rate"] > 75  # of the other policies none drops more than half
    assert set(literal) == set(published("s0-table5").columns)
    times = measured("s0-table6")
    assert times["times faster"] == pytest.approx(times["before"] / times["after"])
    with pytest.raises(ConfigError, match=r"s0-table5: prune\.policy = none prunes nothing"):
        measured("s0-table5", "prune.policy=none")


def test_rows_of_corpora_are_counted_by_the_splits_of_the_papers(tmp_path, monkeypatch, capsys) -> None:
    rows = {"text": [f"day {number} was sad" for number in range(60)], "label": [0, 1] * 30}
    for corpus, splits in {
        "ag_news": "train test",
        "emotion": "train validation test",
        "sst2": "train validation",
    }.items():
        (tmp_path / corpus).mkdir()
        columns = {"sentence" if corpus == "sst2" and key == "text" else key: each for key, each in rows.items()}
        for split in splits.split():
            pq.write_table(pa.table(columns), tmp_path / corpus / f"{split}.parquet")
    monkeypatch.setenv("KDRAY_DATA", str(tmp_path))
    assert main(["papers", "s1-table2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    measured = {(line["row"], line["column"]): line["measured"] for line in found["lines"]}
    assert [measured["SST-2", split] for split in ("train", "dev", "test")] == [60, 60, None]
    assert [measured["AG News", split] for split in ("train", "dev", "test")] == [60, None, 60]
    assert [measured["Emotion", split] for split in ("train", "dev", "test")] == [60, 60, 60]
    assert "MRPC: not in KDRAY_DATA" in found["differs"]
    assert main(["papers", "s1-table2", "--store", "runs", "train.epochs=2"]) == 2
    assert "s1-table2 trains nothing, so train.epochs=2 has no effect; leave it out" in capsys.readouterr().err
    monkeypatch.delenv("KDRAY_DATA")
    assert main(["papers", "s0-table1"]) == 2
    assert "s0-table1 counts the rows of corpora in the folder KDRAY_DATA, which is not set" in capsys.readouterr().err
