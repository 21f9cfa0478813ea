"""The `kdray` lines of the pages are run, page by page and in their order, with a tiny encoder in place of MiniLM.

Every corpus is cut to a few rows. Lines of named corpora need KDRAY_DATA; without it they are skipped. `NOT_RUN` lists
the commands that other tests run.
"""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
from transformers import BertModel

import kdray as kd
import kdray.models.encoders
from kdray.cli import main
from kdray.distillation import StudentSettings

TRAIN_ROWS, OTHER_ROWS = 200, 40  # of a named corpus
STAGES = ("run", "prune", "teach", "outputs", "distill", "evaluate")
EXTENDING = pages.ROOT / "docs/extending.md"
NOT_RUN = {
    "kdray serve": "tests/serve/test_service.py",  # it does not end
    "kdray bench": "tests/export/test_bench.py",  # a minute for each model
    "kdray sweep": "tests/engines/test_on_ray.py",
    "kdray compare": "tests/cli/test_engine.py",
    "kdray trial": "tests/engines/test_on_ray.py",
    "kdray best": "tests/engines/test_bucket.py",
    "kdray papers": "tests/test_papers.py",
    "--engine ray": "tests/serve/test_files.py",
}
SMALL = ("train.epochs=1", "assistant.train.epochs=1", "outputs.quality_check=false")
IN_CI = ("README.md", "runs.md")  # the other pages take minutes: make soak
VECTORS = "glove.6B.300d.txt"
OWN_FILES = {  # files that the commands of extending.md name, and a text of the block with their content
    "my_method.py": "class MyKD",
    "doubtful.py": "def doubt",
    "my_architecture.py": "class MyLSTM",
    "quantile.py": "class Quantile",
}


def _lines(page: Path) -> list[str]:
    return [line for line in pages.shell_lines(page) if re.match(r"kdray (?!--)", line)]


def _runs(line: str) -> bool:
    return not any(text in line for text in NOT_RUN)


PAGES = [page for page in pages.ALL if any(_runs(line) for line in _lines(page))]


@pytest.fixture(scope="module")
def twelve_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with the layers, positions and heads that the lines need, in place of all that they name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "POSITIONS", 512)
        folder = tiny.save_encoder(tmp_path_factory.mktemp("encoder") / "twelve", layers=12)
        config = tiny.bert_config(layers=12, heads=5, width=320)
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def few_rows(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The first rows of the named corpora that the lines name; None without KDRAY_DATA."""
    if "KDRAY_DATA" not in os.environ:
        return None
    folder = tmp_path_factory.mktemp("data")
    named = {name for page in PAGES for line in _lines(page) for name in re.findall(r"corpus\.name=(\w+)", line)}
    for source in Path(os.environ["KDRAY_DATA"]).glob("*/*.parquet"):
        if source.parent.name in named | {"wnut17", "umsab"}:
            (folder / source.parent.name).mkdir(exist_ok=True)
            table = pq.read_table(source)  # rows far apart, because files may be sorted by label or language
            rows = min(TRAIN_ROWS if source.stem == "train" else OTHER_ROWS, len(table))
            few = table.take(np.linspace(0, len(table) - 1, rows).astype(int))
            pq.write_table(few, folder / source.parent.name / source.name)
    return folder


@pytest.fixture
def folder(tmp_path: Path, twelve_layers: Path, few_rows: Path | None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a page's lines are run: with the recipes, and the files and folders that the lines name."""
    (tmp_path / "recipes").symlink_to(pages.ROOT / "recipes")
    for name, text in OWN_FILES.items():
        (tmp_path / name).write_text(pages.code_with(EXTENDING, text))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / VECTORS).write_text("".join(f"{word} {'0.5 ' * 299}0.5\n" for word in tiny.WORDS[5:]))
    rows = pd.DataFrame([tiny.opinion(number) for number in range(80)])
    (tmp_path / "my-data").mkdir()
    own = rows[["text", "label"]].replace({"positive": "good", "negative": "bad"})
    own[:60].to_csv(tmp_path / "my-data/train.csv", index=False)
    own[60:].to_csv(tmp_path / "my-data/test.csv", index=False)
    rows[["text"]].to_csv(tmp_path / "new.csv", index=False)
    rows.rename(columns={"text": "review"})[["review"]].to_parquet(tmp_path / "reviews.parquet")
    rows.to_csv(tmp_path / "tickets.csv", index=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kdray.models.encoders, "_minilm", lambda: twelve_layers)
    monkeypatch.setattr(kdray.models.encoders, "_hub", lambda name: twelve_layers)
    if few_rows is not None:
        monkeypatch.setenv("KDRAY_DATA", str(few_rows))
    data = kd.Dataset.from_pandas(rows[["text", "label"]])
    train = {"epochs": 1, "max_length": 32}
    student = kd.distill(None, data, student=StudentSettings(encoder="minilm", layers=1), train=train, store="made")
    student.save("my-student")
    return tmp_path


def test_pages_have_lines_that_are_run() -> None:
    assert sum(_runs(line) for page in PAGES for line in _lines(page)) > 40
    assert all(any(text in line for page in pages.ALL for line in pages.shell_lines(page)) for text in NOT_RUN)
    assert all((pages.ROOT / test).is_file() for test in NOT_RUN.values())


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[] if page.name in IN_CI else pytest.mark.soak, id=page.name) for page in PAGES],
)
def test_lines_of_a_page_run(page: Path, folder: Path, few_rows: Path | None, capsys: Any) -> None:
    skipped: list[str] = []
    for line in filter(_runs, _lines(page)):
        if few_rows is None and re.search(r"corpus\.name=(?!sample|folder)|recipes/(languages|ner|rte)", line):
            skipped.append(line)
            continue
        words = shlex.split(line, comments=True)[1:]
        if words[0] in STAGES:
            limit = [] if "corpus.name=" in line else ["corpus.limit=60"]
            words += [*SMALL, *limit, "--engine", "local"]
        code = main(words)
        shown = capsys.readouterr()
        assert code == 0, f"{page.name}: {line}\n{shown.out}{shown.err}"
    if skipped:
        pytest.skip(f"KDRAY_DATA is not set; not run: {'; '.join(skipped)}")
