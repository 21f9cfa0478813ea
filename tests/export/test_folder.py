"""Folders appear when they are whole, and replace only folders of their kind."""

from pathlib import Path

import pytest

from kdray.cli import main
from kdray.errors import ConfigError
from kdray.export.folder import new_folder

MARK = "kdray.json"


def write(target: Path, content: str, *, overwrite: bool = False) -> None:
    with new_folder(target, "out", mark=MARK, overwrite=overwrite) as draft:
        for name in (MARK, "model.safetensors", "README.md"):
            (draft / name).write_text(content)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_folder_of_the_kind_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    (tmp_path / "out" / "vocab.txt").touch()  # of another model
    write(tmp_path / "out", "new", overwrite=True)
    found = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert found == dict.fromkeys((MARK, "model.safetensors", "README.md"), "new")
    assert names(tmp_path) == ["out"]
    write(tmp_path / "another", "new", overwrite=True)


def test_a_failure_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out", "old")

    def fails(_: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("kdray.export.folder.sync", fails)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / MARK).read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_a_folder_that_cannot_be_renamed_to_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out", "old")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name.endswith(".tmp"):
            raise OSError("stale file handle")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="stale file handle"):
        write(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / MARK).read_text() == "old"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("other", ["labels.jsonl", ".git", "notes", "new.csv"])
def test_a_folder_with_something_else_is_kept(other: str, tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    (tmp_path / "out" / other).mkdir()
    with pytest.raises(ConfigError, match=f"out: the folder is not replaced, because it also holds {other}; give"):
        write(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / MARK).read_text() == "old"


def test_what_is_no_folder_of_the_kind_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "model", "old")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, reason in (
        ("link", "it is a link"),
        ("broken", "it is a link"),
        ("file", "it is a file"),
        ("empty", "it has no kdray.json"),
    ):
        with pytest.raises(ConfigError, match=f"because {reason}; give another one"):
            write(tmp_path / name, "new", overwrite=True)
    assert (tmp_path / "model" / MARK).read_text() == "old"


def test_overwrite_without_a_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["best", "rte", "--overwrite"]) == 2
    assert "--overwrite replaces the folder of --export; give --export DIR" in capsys.readouterr().err
