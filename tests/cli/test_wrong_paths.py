"""Paths that do not exist, and folders of another kind than is needed: one sentence with what to give."""

import shlex
import shutil
from pathlib import Path

import pytest

import kdray as kd
from kdray.cli import main
from kdray.errors import ConfigError, near_path
from kdray.models import NaiveBayes
from kdray.store.store import MARK


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a student, its store, rows, a run file and a sweep."""
    folder = tmp_path_factory.mktemp("work")
    data = kd.Dataset.load("sample", limit=60)
    student = kd.distill(None, data, student=NaiveBayes(), store=str(folder / "store"))
    student.save(folder / "my-student")
    for name in ("recipes", "sweeps", "store/sweeps/rte-1", "empty", "rows"):
        (folder / name).mkdir(parents=True)
    for name in ("tickets.csv", "recipes/sample.yaml", "sweeps/tune_rte.py", "rows/tickets.csv", "rows/others.csv"):
        (folder / name).write_text("text,label\na,b\n")
    (folder / "run.yaml").write_text("corpus: {name: folder, path: row, labels: [a, b]}\n")
    return folder


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("predict my-studnet tickets.csv -o out.csv", "my-studnet does not exist; did you mean my-student?"),
        ("predict my-student ticket.csv -o out.csv", "ticket.csv: there is no such file; did you mean tickets.csv?"),
        ("predict my-student row/ticket.csv -o o.csv", "there is no such file; did you mean rows/tickets.csv?"),
        ("predict my-student zzz.csv -o out.csv", "zzz.csv: there is no such file; check its name and folder."),
        ("predict my-student tickets.csv -o rows", "rows is a folder; give the name of a new file, such as rows/tick"),
        ("predict my-student tickets.csv -o out.txt", "out.txt: the file must end in .parquet, .csv or .jsonl."),
        ("predict tickets.csv my-student -o out", "tickets.csv is a file; give the folder of a model."),
        ("predict my-student/config.json tickets.csv -o o.csv", "is a file; give the folder of a model, my-student."),
        ("predict empty rows -o out", "empty is not a trained classifier: expected a folder that save or kdray export"),
        ("predict my-studnet rows -o out", "my-studnet does not exist; did you mean my-student?"),
        ("serve my-studnet", "my-studnet does not exist; did you mean my-student?"),
        ("serve store", "store is a store; give the folder of a student in it, such as store/distill/sample-"),
        ("bench my-studnet", "my-studnet does not exist; did you mean my-student?"),
        ("bench my-student@bf61", "my-student@bf61: a precision is fp32 or bf16, found bf61."),
        ("bench store/sweeps/rte-1", "is a sweep; give its student, which kdray best rte-1 --export FOLDER saves."),
        ("bench store/corpus/{corpus}", "is an artifact of the stage corpus; give one of distill (students) or teach"),
        ("export my-studnet --out out", "my-studnet does not exist; did you mean my-student?"),
        ("export my-student --out out --rows ticket.csv", "there is no such file; did you mean tickets.csv?"),
        ("export my-student --out out --rows rows", "rows is a folder; give a file that ends in .parquet, .csv or"),
        (
            "run recipes/samplee.yaml",
            "samplee.yaml: No such file or directory; did you mean recipes/sample.yaml?",
        ),
        ("run recipe/sample.yaml", "recipe/sample.yaml: No such file or directory; did you mean recipes/sample.yaml?"),
        ("run samplee", "samplee: No such file or directory; did you mean recipes/sample.yaml?"),
        ("sweep tune_rt.py", "tune_rt.py: no such file of a sweep or comparison; did you mean sweeps/tune_rte.py?"),
        ("sweep rows", "rows is a folder; give a file, for example sweeps/sample.yaml."),
        ("run run.yaml --engine local", "corpus.path = row is not a folder; did you mean rows?"),
        ("report stor", "store 'stor' does not exist; did you mean store?"),
        ("store ls stor", "store 'stor' does not exist; did you mean store?"),
        ("best rte-2", "store 'store' holds no sweep 'rte-2'; did you mean rte-1?"),
        ("best sst2", "store 'store' holds no sweep 'sst2'; there are rte-1."),
        ("best rte-1 --store stor", "store 'stor' does not exist; did you mean store?"),
        ("best", "kdray best needs the name of a sweep; store 'store' holds rte-1."),
    ],
)
def test_a_wrong_path_is_one_sentence_with_what_to_give(
    command: str, sentence: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    corpus = next((place / "store" / "corpus").iterdir()).name
    assert main(shlex.split(command.format(corpus=corpus))) == 2
    printed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kdray: ")]
    assert len(printed) == 1
    assert sentence in printed[0]


def test_a_sweep_that_is_not_there_cannot_be_resumed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    (place / "sweeps/mine.yaml").write_text("corpus: sample\nspace: {method.temperature: [2.0, 5.0]}\n")
    (place / "store/sweeps/rte-1/study.db").touch()
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "sweeps/mine.yaml", "--name", "rte-2", "--resume"])
    assert stop.value.code == 2
    assert "kdray: store 'store' holds no sweep 'rte-2'; did you mean rte-1?" in capsys.readouterr().err


def test_a_comparison_is_no_sweep(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "store", "store")
    Path("store/sweeps/mine").mkdir()
    Path("store/sweeps/mine/result.json").write_text('{"kind": "comparison"}')
    assert main(["best"]) == 2
    assert "store 'store' holds rte-1." in capsys.readouterr().err
    for words in (["best", "mine"], ["trial", "mine", "0"]):
        assert main(words) == 2
        assert "mine is a comparison, which has no trials; its students are in " in capsys.readouterr().err


def test_the_store_may_be_a_flag_of_a_stage(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    prune = "prune: {policy: literal, keep_medoids: none}"
    (place / "small.yaml").write_text(f"corpus: {{name: sample, limit: 60}}\n{prune}\n")
    assert main(["prune", "small.yaml", "--store", "runs #2", "--engine", "local"]) == 0
    assert list((place / "runs #2/prune").iterdir())


def test_files_in_python_have_near_names_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(ConfigError, match=r"^ticket\.csv: there is no such file; did you mean tickets\.csv\?$"):
        kd.Dataset.from_files("ticket.csv")
    teacher = kd.Teacher.from_predictions("ticket.csv")
    with pytest.raises(ConfigError, match=r"^predictions ticket\.csv: .*; did you mean tickets\.csv\?$"):
        kd.distill(teacher, kd.Dataset.load("sample", limit=60), student=NaiveBayes(), method=kd.methods.SoftClassic())
    with pytest.raises(ConfigError, match=r"^my-studnet does not exist; did you mean my-student\?$"):
        kd.Student.load("my-studnet")


def test_the_store_is_the_one_of_the_folder_unless_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert (place / "store" / MARK).is_file()
    assert main(["report"]) == 0
    assert "open store/report/index.html" in capsys.readouterr().out.replace(f"{place}/", "")


def test_hidden_folders_and_long_names_are_not_near(tmp_path: Path) -> None:
    (tmp_path / ".bundle").mkdir()
    (tmp_path / "bundle.txt").touch()
    assert near_path(tmp_path / "bundlee", otherwise="none.") == "none."
    assert near_path(tmp_path / ("x" * 300) / "bundlee", otherwise="none.") == "none."
    (tmp_path / "bundle").mkdir()
    assert near_path(tmp_path / "bundlee", otherwise="none.") == f"did you mean {tmp_path / 'bundle'}?"
