"""Paths on the command line are what a shell user means: spaces and marks as they are, ~ is the home folder."""

import argparse
from pathlib import Path

import pytest
import yaml

from kdray.cli import main
from kdray.cli.flags import add_flags, run_config
from kdray.config import SweepConfig
from kdray.store import Store

ODD = ["runs #2", "yes", "2024", "a: b", "100%", "[one]", "{two}", "'three'", "*four", "null", "-", "a=b", "é ü"]
HOME = ["~/runs #2", "~/a/b"]


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def place(text: str, tmp_path: Path) -> Path:
    return tmp_path / "home" / text[2:] if text.startswith("~") else tmp_path / text


@pytest.mark.parametrize("text", [*ODD, *HOME])
def test_a_store_has_the_place_that_the_user_gave(text: str, tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, SweepConfig, "rte")
    for words in ([f"--store={text}"], [f"store={text}"]):
        run = run_config("rte", parser.parse_args(["--corpus", "sample", *words]), {}, {})
        assert run.store == text
        assert Path(Store(run.store).uri_of("x")) == place(text, tmp_path) / "x"


@pytest.mark.parametrize("text", ["runs #2", "~/runs #2"])
def test_commands_find_what_another_one_wrote(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = {
        "corpus": {"name": "sample", "limit": 40},
        "prune": {"policy": "bottom_quintile"},
        "teachers": [],
        "method": {"name": "finetune"},
    }
    (tmp_path / "home" / "a run #1.yaml").write_text(yaml.safe_dump(plain))
    assert main(["prune", "~/a run #1.yaml", f"store={text}", "--engine", "local"]) == 0
    assert (place(text, tmp_path) / "prune").is_dir()
    for command in (["store", "ls", text], ["store", "verify", text], ["report", text]):
        assert main(command) == 0, capsys.readouterr()
    assert (place(text, tmp_path) / "report" / "index.html").is_file()
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("text", ["my rows #1", "~/my rows #1"])
def test_a_corpus_has_the_place_that_the_user_gave(text: str, tmp_path: Path) -> None:
    folder = place(text, tmp_path)
    folder.mkdir()
    for split in ("train", "test"):
        rows = "\n".join(f"good film {split} {i},good\nbad film {split} {i},bad" for i in range(12))
        (folder / f"{split}.csv").write_text(f"text,label\n{rows}\n")
    plain = {"prune": {"policy": "bottom_quintile", "level": "row"}, "teachers": [], "method": {"name": "finetune"}}
    Path("run.yaml").write_text(yaml.safe_dump(plain))
    words = ["corpus.name=folder", f"corpus.path={text}", "corpus.labels=[bad, good]", "--engine", "local"]
    assert main(["prune", "run.yaml", *words]) == 0
    assert list((tmp_path / "store" / "corpus").iterdir())
