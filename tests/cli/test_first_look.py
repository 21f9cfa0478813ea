"""The help of every command, its example, and the commands that look at settings and at the machine."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pages
import pytest
from pydantic import BaseModel

import kdray
from kdray.api.doctor import doctor
from kdray.api.listing import list_settings
from kdray.cli import main
from kdray.cli.compare import _parser as compare_parser
from kdray.cli.main import _parsers, helps  # pyright: ignore[reportPrivateUsage]
from kdray.cli.overview import COMMANDS, GROUPS, overview
from kdray.cli.sweep import _parser as sweep_parser  # pyright: ignore[reportPrivateUsage]
from kdray.config import RunConfig, apply_overrides, parse
from kdray.config.reference import meanings, settings

ROOT = Path(__file__).parents[2]
LOOKS = ("doctor", "settings", "methods", "corpora")  # examples that need no store


def test_help_fits_a_screen_and_has_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert set(helps()) == {"kdray"} | {f"kdray {name}" for name in COMMANDS}
    assert sum(map(len, GROUPS.values())) == len(COMMANDS), "a command is in two groups"
    assert overview().rstrip().splitlines() == lines


@pytest.mark.parametrize("name", COMMANDS)
def test_example_of_a_command_is_a_command(name: str) -> None:
    _, example = COMMANDS[name]
    words = shlex.split(example)
    assert words[:2] == ["kdray", name]
    assert example in helps()[f"kdray {name}"]
    parsed, rest = _parsers()[0].parse_known_args(words[1:])
    if name == "sweep":
        sweep_parser("rte").parse_args(rest)
    elif name == "compare":
        compare_parser("methods", "rte").parse_args(rest)
    else:
        assert rest == []
    files = [ROOT / word for word in words if word.startswith(("recipes/", "sweeps/"))]
    assert all(file.is_file() for file in files)
    if overrides := getattr(parsed, "overrides", []):
        parse(apply_overrides({}, overrides), source="example")


@pytest.mark.parametrize("name", LOOKS)
def test_example_that_only_looks_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(COMMANDS[name][1])[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 5


def test_every_setting_has_a_type_and_a_meaning() -> None:
    every = settings()
    assert len(every) > 250
    assert [each.key for each in every if not (each.type and each.meaning)] == []
    folds = {f"{corpus}.fold.{key}" for corpus in ("corpus", "teachers.0.init_from.corpus") for key in ("index", "of")}
    needed = {"teachers.0.init_from.corpus", "prune.policy.rate", *folds}
    assert {each.key for each in every if not each.default} == needed


def test_settings_are_those_of_the_records() -> None:
    (epochs,) = settings("train.epochs")
    assert (epochs.type, epochs.default) == ("whole number from 1 to 1,000", "3")
    assert [each.default for each in settings("teachers.0.train.epochs")] == ["4"]
    (alpha,) = settings("method.kd.alpha")
    assert (alpha.key, alpha.of, alpha.type) == ("method.alpha", "kd", "number from 0 to 1")
    assert {each.of for each in settings("prune.policy.literal")} == {"literal"}
    (layers,) = settings("student.layers")
    assert layers.type == "whole number from 1 to 1,000 | list of whole number"
    for name in RunConfig.model_fields:
        assert settings(name), name


def test_meanings_come_from_the_docstrings_of_all_bases() -> None:
    class Base(BaseModel):
        """Base.

        Attributes:
            one: is first,
                on two lines.
            two: The second.
        """

    class Derived(Base):
        """Derived.

        Attributes:
            two: Another one.
        """

    assert meanings(Derived) == {"one": "Is first, on two lines.", "two": "Another one."}


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("temprature", "no setting begins with 'temprature'; did you mean method.temperature?"),
        ("method.kdd", "did you mean method.kd?"),
        ("zzz", "no setting begins with 'zzz'; sections are store, corpus, prune, teachers,"),
    ],
)
def test_unknown_prefix_is_refused(prefix: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", prefix]) == 2
    assert sentence in capsys.readouterr().err


def test_settings_of_a_class_from_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my_method.py").write_text(pages.code_with(pages.ROOT / "docs/extending.md", "class MyKD"))
    name = f"{tmp_path}/my_method.py:MyKD"
    assert main(["settings", name, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["key"], row["default"], row["of"]) for row in rows] == [
        ("method.name", name, ""), ("method.temperature", "5.0", "MyKD"), ("method.alpha", "0.5", "MyKD")
    ]  # fmt: skip
    for wrong, sentence in (
        (f"{name}s", "this class does not exist in"),
        (name.replace("MyKD", "log_probs"), "only the settings of methods, architectures and pruning policies can be"),
        (f"{tmp_path}/my_method.py", "expected module:NAME or file.py:NAME."),
    ):
        assert main(["settings", wrong]) == 2
        assert sentence in capsys.readouterr().err


def test_settings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "outputs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == list_settings("outputs")


def test_doctor_gives_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rte").mkdir()
    monkeypatch.setenv("KDRAY_DATA", str(tmp_path))
    monkeypatch.setattr("kdray.api.doctor.STORE_BYTES", 10**18)
    monkeypatch.setattr("kdray.api.doctor.NEEDED", ("torch", "no-such-package"))
    found = doctor()
    assert found["corpora"]["found"] == ["sample", "rte"]
    assert found["packages"]["torch"]
    assert any("missing packages: no-such-package" in each for each in found["advice"])
    assert any("--shm-size=1g" in each for each in found["advice"]) == (found["shared memory bytes"] is not None)
    monkeypatch.setenv("KDRAY_DATA", str(tmp_path / "nowhere"))
    assert "is not a folder" in doctor()["corpora"]["KDRAY_DATA"]


def test_a_command_without_words_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for words, text in (([], overview()), (["--version"], f"kdray {kdray.__version__}\n")):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert (stop.value.code, capsys.readouterr().out.rstrip()) == (0, text.rstrip())


def test_doctor_tries_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--address", "127.0.0.1:1"]) == 2
    printed = capsys.readouterr()
    sentence = "cannot be reached: --address 127.0.0.1:1: nothing answers there"
    assert f"ray: {sentence}" in printed.out
    assert f"kdray: Ray {sentence}" in printed.err
    assert ".." not in printed.err


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("kdray sto", {"store"}),
        ("kdray store ", {"ls", "du", "gc", "verify", "-h", "--help"}),
        ("kdray s", {"serve", "settings", "store", "sweep"}),
    ],
)
def test_shell_completes_commands(typed: str, words: set[str], tmp_path: Path) -> None:
    """As a shell does it: what may follow is written to descriptor 8."""
    program = tmp_path / "kdray"
    program.write_text("import sys; from kdray.cli import main; sys.exit(main())")
    point = {"COMP_LINE": typed, "COMP_POINT": str(len(typed)), "COMP_TYPE": "9", "_ARGCOMPLETE": "1"}
    environ = {**os.environ, **point, "_ARGCOMPLETE_IFS": " ", "_ARGCOMPLETE_SHELL": "bash"}
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(program))} 8>&1 9>/dev/null"
    done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == words
