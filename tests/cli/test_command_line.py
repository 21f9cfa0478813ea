"""What a user types, and what they read when it is wrong."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml

from kdray.api.listing import list_methods, method_example
from kdray.api.stages import run_stage
from kdray.cli import main
from kdray.cli.flags import run_program, student_rows
from kdray.cli.main import Parser, guarded
from kdray.cli.runs import _show
from kdray.cli.show import struck_out
from kdray.config import load, merge, parse
from kdray.corpora import CorpusSettings, read_corpus
from kdray.corpora.stored import StoredTask
from kdray.methods import METHODS, Method
from kdray.stages import check_run

ROOT = Path(__file__).parents[2]


def test_methods_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["method"] for row in rows} == {method.model_fields["name"].default for method in METHODS}
    assert all(row["source"] and row["needs"] for row in rows)


def test_methods_shows_one_with_its_formula_its_settings_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "kd"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("kd: Vanilla KD (as published)\n")
    for part in (
        "\nSource: Hinton et al. 2015",
        "\nFormula: ",
        "method.alpha = 0.5: number from 0 to 1",
        "decisions.md",
    ):
        assert part in text
    assert "kdray run recipes/sample.yaml method.name=kd\n" in text
    assert "None" not in text  # null in a run file
    assert main(["methods", "finetune"]) == 0
    assert "\nSettings\nnone\n" in capsys.readouterr().out


def test_methods_shows_one_from_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "halved.py"
    file.write_text(
        '"""Half of the loss."""\n\nfrom kdray.methods import KD\n\n\nclass Halved(KD):\n'
        '    """A share.\n\n    Attributes:\n        part: That is left.\n    """\n\n    part: float = 0.5\n'
    )
    assert main(["methods", f"{file}:Halved", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["head"] == "Half of the loss."
    assert about["settings"][-1] == {
        "key": "method.part",
        "of": "Halved",
        "type": "number",
        "default": "0.5",
        "meaning": "That is left.",
    }


@pytest.mark.parametrize(
    ("name", "hint"),
    [("kdd", "did you mean kd?"), ("minilmv3", "did you mean minilmv2?"), ("x", "kdray methods lists them.")],
)
def test_methods_refuses_an_unknown_name(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", name]) == 2
    assert capsys.readouterr().err == f"kdray: method {name!r} is unknown; {hint}\n"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.model_fields["name"].default)
def test_example_of_a_method_is_accepted(method: type[Method]) -> None:
    command, *given = shlex.split(method_example(method))[1:]
    assert command == "run"
    run = load(ROOT / given[0], given[1:])
    task = read_corpus(CorpusSettings(name="sample"), data_dir=None).task
    check_run(run, StoredTask(task.name, task.fields, task.labels, task.metrics, task.kind))
    assert type(run.method) is method


def test_broken_pipe_is_ignored() -> None:
    command = [sys.executable, "-c", "import sys; from kdray.cli import main; sys.exit(main(['methods']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, error = process.communicate()
    assert (process.returncode, error) == (0, "")


def test_methods_page_has_the_table_of_the_command() -> None:
    section = (ROOT / "docs/methods.md").read_text().partition("\n## ")[0]
    lines = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", section, re.M)
    expected = {
        row["method"]: (
            row["needs"] + (", assistant" if row["assistant"] == "yes" else ""),
            row["teachers"] if row["teachers"] != "0–0" else "0",
            row["access"],
            row["source"],
            row["status"],
        )
        for row in list_methods()
    }
    assert {name: tuple(rest) for name, *rest in lines} == expected


def test_corpora_lists_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpora"]) == 0
    assert "rte" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["sweep", "compare"])
def test_help_of_commands_with_a_file_needs_none(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: kdray {command} FILE" in capsys.readouterr().out
    assert main([command]) == 2
    assert f"kdray: kdray {command} needs a file, for example sweeps/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: No such file"),
        (
            ["run", "{recipe}", "method.temprature=3"],
            ": unknown setting method.temprature of kd; did you mean temperature?",
        ),
        (
            ["run", "{recipe}", "method.temperature=-1"],
            ": method.temperature = -1: allowed is a number from above 0 to 1,000.",
        ),
        (["run", "{recipe}", "method.temperature=.inf"], ": method.temperature: expected a finite number"),
        (["run", "{recipe}", "method=kd"], ": method is a section of settings; write method.name=kd,"),
        (["runn", "{recipe}"], "unknown command 'runn'; did you mean run?"),
        (["run", "{recipe}", "--epochs", "2"], "write settings without --, such as train.epochs=2"),
        (["run", "{recipe}", "method.name=KD"], "method.name = 'KD' is unknown; did you mean kd?"),
        (["run", "{recipe}", "prune.policy.name=literal", "prune.policy.x=1"], ": unknown setting prune.policy.x"),
        (["run", "{recipe}", "method.name=dekdd"], "method.name = 'dekdd' is unknown; did you mean dekd?"),
        (["run", "{recipe}", "method.name=sorcery"], "method.name = 'sorcery' is unknown; allowed are finetune, kd,"),
        (["run", "{recipe}", "temperature"], "not of the form key=value"),
        (["sweep", "--engine", "local"], "kdray sweep needs a file before its flags, such as sweeps/sample.yaml;"),
        (["sweep", "nowhere.py"], "nowhere.py: no such file of a sweep or comparison;"),
        (["sweep", "x" * 300], "xxx: no such file of a sweep or comparison;"),
        (["sweep", "{rows}"], "rows.csv: kdray sweep takes a file of settings (.yaml) or a program (.py)."),
        (
            ["run", "{rows}"],
            "rows.csv is a file of data, not of settings (YAML); recipes/own.yaml shows how to use it.",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "run.yaml"
    recipe.write_text("corpus: {name: sample}\nmethod: {name: kd}\n")
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\ngood: a colon,1\n")
    assert main([a.format(recipe=recipe, rows=rows) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


def test_dropped_sentences_are_struck_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    example = {"id": "r1", "field": "text", "units": [("Kept. ", True), ("Dropped. ", False), ("Kept too.", True)]}
    _show({"rows": [], "examples": [example]})
    assert capsys.readouterr().out == "\nr1 text: Kept. [-Dropped.-] Kept too.\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert struck_out("Dropped. ") == "\x1b[9mDropped.\x1b[29m "


def test_report_of_an_empty_store_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no finished sweep, student or pruned corpus" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_are_valid(path: Path) -> None:
    load(path)


def test_the_recipe_for_own_data_shows_how_to_keep_the_texts_whole(tmp_path: Path) -> None:
    text = (ROOT / "recipes" / "own.yaml").read_text()
    (tmp_path / "own.yaml").write_text(text.replace("# prune: {policy: none}", "prune: {policy: none}"))
    assert load(ROOT / "recipes" / "own.yaml").prune.policy.name == "lower_tail"
    assert load(tmp_path / "own.yaml").prune.policy.name == "none"


def test_the_sweep_for_own_data_has_the_settings_of_the_recipe(tmp_path: Path) -> None:
    sweep = yaml.safe_load((ROOT / "sweeps" / "own.yaml").read_text())
    recipe = yaml.safe_load((ROOT / "recipes" / "own.yaml").read_text())
    assert {"store": recipe["store"], **sweep["run"]} == recipe | {"prune": {"policy": "none"}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(sweep["run"]))
    assert load(tmp_path / "run.yaml").student.layers == 3


def test_the_stages_in_python_run(
    tiny_encoder: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = tiny.run_settings(
        tiny_encoder, tiny_corpus, student={"layers": 1, "init_from": "teacher"}, method={"name": "kd"}
    )
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "sample.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```python\n(from pathlib.*?)```", (ROOT / "docs" / "runs.md").read_text(), re.S)
    assert block is not None
    exec(compile(block.group(1), "runs.md", "exec"), {})
    assert "'test'" in capsys.readouterr().out
    assert main(["report", "store"]) == 0
    assert (tmp_path / "store" / "report" / "index.html").exists()
    (page,) = (tmp_path / "store" / "report").glob("run-*.html")
    assert "Time of each phase" in page.read_text()
    assert "phases were not measured" not in page.read_text()
    assert "Teachers and the score of the majority class." in page.read_text()
    assert "tokens of the timed row" in page.read_text()
    assert "not recorded (such as kdray run RUN.yaml)" in page.read_text()

    (student,) = (tmp_path / "store" / "distill").iterdir()
    digest = json.loads((student / "manifest.json").read_text())["digest"]
    trained = {"label": "a", "seeds": [0], "test": {"mean": 0.5}, "runs": [digest]}
    comparison = {"kind": "comparison", "name": "three", "created": "", "command": "kdray compare three", "kdray": "",
                  "corpus": {"name": "c", "is_sample": False, "rows": {}}, "settings": {}, "metric": "accuracy",
                  "confirmation": [trained]}  # fmt: skip
    three = tmp_path / "store" / "sweeps" / "three" / "result.json"
    three.parent.mkdir(parents=True)
    three.write_text(json.dumps(comparison))
    shutil.rmtree(tmp_path / "store" / "teach")
    assert main(["report", "store"]) == 0
    assert "<pre>kdray compare three</pre>" in page.read_text()
    assert "Teachers and the score of the majority class." in page.read_text()

    broken = tmp_path / "store" / "sweeps" / "old" / "result.json"
    broken.parent.mkdir(parents=True)
    broken.write_text('{"kind": "sweep"}')
    capsys.readouterr()
    assert main(["report", "store"]) == 1
    said = capsys.readouterr()
    assert "2 pages" in said.out
    assert "left out: sweep-old: result.json (sweep): the key 'name' is missing" in said.err


def test_settings_may_follow_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text("corpus: {name: sample}\n")
    assert main(["prune", str(tmp_path / "run.yaml"), "--show", "0", "sotre=x"]) == 2
    assert "unknown setting sotre; did you mean store?" in capsys.readouterr().err
    assert main(["prune", str(tmp_path / "run.yaml"), "--shwo", "0", "store=x"]) == 2
    assert "unknown argument --shwo" in capsys.readouterr().err


def test_flags_are_not_abbreviated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweep.yaml").write_text("{run: {corpus: {name: sample}}, space: {train.epochs: [1, 2]}}")
    with pytest.raises(SystemExit):
        main(["sweep", str(tmp_path / "sweep.yaml"), "--trial", "3"])
    assert "unknown argument --trial; did you mean --trials?" in capsys.readouterr().err


def test_sigterm_ends_a_command_as_ctrl_c_does(capsys: pytest.CaptureFixture[str]) -> None:
    left_by_other_tests = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cleaned = list[str]()

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            cleaned.append("yes")

    try:
        assert guarded(work, debug=False) == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, left_by_other_tests or signal.SIG_DFL)
    assert cleaned == ["yes"]
    assert capsys.readouterr().err == "kdray: interrupted; rerun the same command to resume.\n"


def test_a_comparison_is_continued_by_its_own_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("{run: {corpus: {name: sample}}, variants: {a: {train.epochs: 1}}}")
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "c.yaml"), "--resume"])
    assert "unknown argument --resume; give the same command again: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("{method.name: kd, method.temperature: -1}", "method.temperature = -1: allowed is a number from above 0"),
        ('{method.name: "mse_los.py:Mine"}', "method.name: file mse_los.py cannot be read"),
    ],
)
@pytest.mark.parametrize("label", ["mine", "m"])  # the second problem begins with an m, too
def test_a_wrong_variant_is_named_with_its_file(
    label: str, settings: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"{{run: {{corpus: {{name: sample}}}}, variants: {{a: {{method.name: kd}}, {label}: {settings}}}}}")
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(file), "--engine", "local", "--store", str(tmp_path / "store")])
    assert ended.value.code == 2
    assert f"kdray: {file}: {label}: {problem}" in capsys.readouterr().err


def test_prune_prints_counts_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"rows": 1200, "dropped": 1100, "conflicts": 7}
    summary = {"num_units": 5, "duplicates": found, "warnings": ["The threshold was lowered."]}
    _show({"rows": [], "summary": summary})
    told = capsys.readouterr()
    assert (
        "1,200 rows are like another one of their class, 1,100 of them were dropped; 7 pairs have different" in told.out
    )
    assert told.err == "kdray: The threshold was lowered.\n"
    _show({"rows": [], "summary": summary | {"duplicates": None, "warnings": []}})
    told = capsys.readouterr()
    assert "uplicates" not in told.out
    assert not told.err


@pytest.mark.parametrize("command", ["teach", "outputs"])
def test_teach_and_outputs_show_the_note_on_the_corpus(command, tiny_encoder, tmp_path, capsys):
    plain = tiny.run_settings(tiny_encoder, tiny.save_opinions(tmp_path / "rows"))
    changes = {"corpus.limit": 40, "outputs.quality_check": False, "store": str(tmp_path / "store")}
    _show(run_stage(parse(merge(plain, changes), source="test"), command))
    assert "Note on the corpus: limited to 40 of 48 train rows" in capsys.readouterr().out


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_of_a_corpus_function_is_a_sentence_and_with_debug_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    (tmp_path / "c.py").write_text(
        "from kdray.corpora import corpus\n@corpus(labels=['a', 'b'])\ndef rows():\n    return 1 / 0\n"
    )
    (tmp_path / "run.yaml").write_text("corpus: {name: 'c.py:rows'}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["prune", "run.yaml", *["--debug"][:debug]]) == 2
    written = capsys.readouterr().err
    assert "kdray: corpus c.py:rows: it raised ZeroDivisionError: division by zero (line 4).\n" in written
    assert ("Traceback" in written) is debug


@pytest.mark.parametrize(
    ("program", "prog", "command"),
    [
        ("/usr/bin/kdray", "kdray sweep my.yaml", "kdray sweep my.yaml --name 'a b'"),
        ("sweeps/tune_rte.py", "tune_rte.py", "python sweeps/tune_rte.py sweep my.yaml --name 'a b'"),
    ],
)
def test_the_command_of_a_result_can_be_typed(
    program: str, prog: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "sweep", "my.yaml", "--name", "a b"])
    parser, found = Parser(prog), list[str]()
    for flag in ("--json", "--debug", "--verbose"):
        parser.add_argument(flag, action="store_true")
    with pytest.raises(SystemExit) as stop:
        run_program(parser, [], lambda arguments, command: found.append(command))
    assert (stop.value.code, found) == (0, [command])


def test_a_teacher_without_a_name_of_its_own_is_named_once() -> None:
    scores = {"test": 0.5, "validation": 0.5, "parameters": 1, "latency_ms": None, "majority": 0.5}
    teachers = [{"name": name, **scores} for name in ("teacher", "large")]
    rows = student_rows({"confirmation": [], "teachers": teachers})
    assert [row["student"] for row in rows] == ["teacher", "teacher large", "majority class"]


def test_code_that_ends_the_program_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    program: dict[str, Any] = {"__name__": "mine"}
    exec("import sys\ndef work():\n    sys.exit(0)\n", program)
    assert guarded(program["work"], debug=False) == 1
    assert "code from outside of kdray ended the command (SystemExit: 0)" in capsys.readouterr().err


def test_an_empty_run_file_starts_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "y.yaml").write_text("")
    assert main(["run", str(tmp_path / "y.yaml")]) == 2
    assert "y.yaml is empty: expected sections" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("run folder", "folder: Is a directory; give a file of settings (YAML)."),
        ("run sweep.yaml", "sweep.yaml is a sweep file (it has run: or space:); start it by kdray sweep sweep.yaml."),
        ("run own.yml", "own.yml is a comparison file (it has variants:); start it by kdray compare own.yml."),
        (
            "run run.yaml --engine rey",
            "--engine rey is unknown; did you mean ray?",
        ),
        (
            "run run.yaml --engine local",
            "train has 1 labeled row, too few to hold out 0.1 of them: add rows, raise corpus",
        ),
        ("prune run.yaml --show -1", "--show -1: give a number of texts, 0 or more."),
        (
            "sweep run.yaml",
            "run.yaml: method is a setting of a run: put it under run:, or start the file by kdray run.",
        ),
        ("sweep own.yaml", "own.yaml: corpus is a name here; put its settings under run, as run: {corpus: ...}."),
        ("sweep sweep.yaml trials=3", "trials=3: trials is a flag, not a setting of a run; write --trials, as in"),
        ("sweep sweep.yaml max_hours=3", "max_hours=3: max_hours is a flag, not a setting of a run; write --max-hours"),
        ("sweep sweep.yaml run.seed=2", 'run.seed=2: on the command line, leave out "run.": write seed=2.'),
        ("sweep sweep.yaml space.train.epochs=2", "space.train.epochs=2: a search space is set in the sweep's file, "),
        ("sweep --trials 3 sweep.yaml", "3 stands where the file must: write kdray sweep sweep.yaml, then the flags."),
        ("predict model a.csv b.csv -o out", "too many arguments: b.csv; kdray predict --help lists what it takes."),
        ("run run.yaml --engin local", "unknown argument --engin; did you mean --engine?"),
        ("run", "the following arguments are required: file; --help lists what is allowed."),
        ("sweep sweep.yaml --trials x", "--trials: expected a whole number, found 'x'; --help lists what is allowed."),
        ("export student", "the following arguments are required: --out; --help lists what is allowed."),
        ("store lss", "action lss is unknown; did you mean ls?"),
        ("serve student --port http", "--port: expected a whole number, found 'http'; --help lists what is allowed."),
    ],
)
def test_a_wrong_command_is_refused_in_one_sentence(
    command: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "own.yaml").write_text("{corpus: {name: folder, path: my-data}, space: {train.epochs: [1, 2]}}")
    (tmp_path / "sweep.yaml").write_text("{run: {corpus: {name: sample}}, space: {train.epochs: [1, 2]}}")
    (tmp_path / "own.yml").write_text("{run: {corpus: {name: sample}}, variants: {short: {train.epochs: 1}}}")
    (tmp_path / "run.yaml").write_text(
        "{corpus: {name: sample, limit: 1}, prune: {policy: none}, method: {name: finetune}}"
    )
    try:
        code = main(command.split())
    except SystemExit as stop:  # of argparse
        code = stop.code
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kdray: {sentence}")
    assert line.endswith((".", "?"))
