"""`kdray export` from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny

from kdray.api.models import Student
from kdray.cli import main


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain folder of transformers."""
    folder = tmp_path_factory.mktemp("plain") / "model"
    return tiny.save_fine_tuned(folder, tiny.classifier(seed=3, layers=1), tiny.LABELS)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("\n".join(json.dumps(tiny.opinion(number)) for number in range(20)))
    return file


def test_a_folder_of_transformers_is_exported_and_the_figures_are_printed(
    fine_tuned: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(fine_tuned), "--format", "hf", "--out", str(tmp_path / "out"), "--rows", str(rows)]
    assert main([*command, "--json"]) == 0
    printed = capsys.readouterr()
    assert "out: makes the format hf and compares it with the model on 20 rows of rows.jsonl" in printed.err
    document = json.loads(printed.out)
    assert document["proof"]["rows"] == 20
    assert document["labels"] == list(tiny.LABELS)
    assert main(command) == 2
    assert "out: the folder exists already; give another one, or replace it by --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    command[command.index("--out") + 1] = str(tmp_path / "more" / "out")
    assert main(command) == 0
    assert f"The bundle is in {tmp_path / 'more' / 'out'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("format", "sentence"),
    [
        ("onnx", "The bundle prunes text before it predicts"),
        ("hf", "The student reads pruned texts: shorten text with"),
    ],
)
def test_an_export_of_a_student_of_pruned_texts_states_it(
    format: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"format": format, "prunable": ["text"], "int8": None, "proof": {"rows": 20}}

    def export(self: Student, out: Path, **_: Any) -> Path:
        out.mkdir()
        (out / "bundle.json").write_text(json.dumps(about))
        return out

    monkeypatch.setattr(Student, "load", lambda _: Student(tmp_path, None, {}))  # pyright: ignore
    monkeypatch.setattr(Student, "export", export)
    assert main(["export", "student", "--format", format, "--out", str(tmp_path / "out")]) == 0
    assert sentence in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"student": "nowhere"}, "nowhere does not exist"),
        ({"--rows": "none.csv"}, "none.csv: there is no such file; check its name and folder."),
        ({"--tolerance": "-1"}, "tolerance = -1 is out of range; allowed are 0 to 100 points."),
    ],
)
def test_bad_input_is_one_sentence(
    change: dict[str, str],
    said: str,
    fine_tuned: Path,
    rows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"--out": str(tmp_path / "out"), "--rows": str(rows), "--format": "hf", **change}
    student = given.pop("student", str(fine_tuned))
    assert main(["export", student, *(word for pair in given.items() for word in pair)]) == 2
    assert capsys.readouterr().err.startswith(f"kdray: {said}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"text": "a film"}, "rows.jsonl has no column 'label'; found: text. Rename the column of the file."),
        ({"text": "a film", "label": "odd"}, "is 'odd'; allowed are negative, positive or their numbers from 0 to 1"),
        ({"text": "", "label": "positive"}, 'column "text" is empty'),
    ],
)
def test_bad_rows_are_named(
    line: dict[str, str], said: str, fine_tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(line))
    command = ["export", str(fine_tuned), "--out", str(tmp_path / "out"), "--rows", str(tmp_path / "rows.jsonl")]
    assert main(command) == 2
    assert said in capsys.readouterr().err
