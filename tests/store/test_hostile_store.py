"""Stores that others wrote: nothing in them leads out of the store, and what is wrong is one sentence."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import pytest
from hostile import MANIFESTS, TEXTS

from kdray.errors import ConfigError, KdrayError, RunError
from kdray.store import Store, with_checksum
from kdray.store.paths import fault_of_path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has compared no files yet."""
    monkeypatch.setattr("kdray.store.artifact._intact", set())


def surveyed(store: Store) -> str:
    """The one fault that a survey finds."""
    ((_, fault),) = store.survey("teach")
    assert isinstance(fault, KdrayError)
    return str(fault)


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_hostile_manifest_is_refused_in_a_sentence_that_names_it(store: Store, tmp_path: Path, kind: str) -> None:
    made = hostile.made(store)
    change, words = MANIFESTS[kind]
    hostile.write_manifest(store, made.where, change(dict(made.manifest)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError) as refused:
        store.find("teach", "t", made.digest)
    sentence = str(refused.value)
    assert sentence.startswith(f"{store.uri}/{made.where}/manifest.json cannot be used: ")
    assert words in sentence
    assert sentence.isprintable()
    assert len(sentence) < 600
    assert surveyed(store) == sentence
    assert store.artifacts("teach") == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", TEXTS)
def test_a_manifest_that_is_not_json_is_refused_in_a_sentence_that_names_it(store: Store, kind: str) -> None:
    made = hostile.made(store)
    content, words = TEXTS[kind]
    (made.path / "manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert surveyed(store).startswith(f"{store.uri}/{made.where}/manifest.json {words}")


@pytest.mark.parametrize(
    "key", ["stage", "name", "digest", "settings", "inputs", "summary", "seconds", "made", "host", "kdray", "files"]
)
def test_every_field_of_a_manifest_is_under_the_checksum(store: Store, key: str) -> None:
    """Changed, or left out, with the checksum of before."""
    made = hostile.made(store)
    plain = json.loads((made.path / "manifest.json").read_text())
    value: Any = plain[key]
    other = {"b": 1} if isinstance(value, dict) else 12.5 if isinstance(value, float) else f"{value[:-1]}9"
    for changed in (plain | {key: other}, {name: kept for name, kept in plain.items() if name != key}):
        (made.path / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(RunError, match=r"manifest\.json cannot be used: "):
            store.find("teach", "t", made.digest)


@pytest.mark.parametrize("checksum", [None, "", "0" * 64, 7])
def test_a_manifest_without_its_checksum_is_refused(store: Store, checksum: Any) -> None:
    made = hostile.made(store)
    plain = json.loads((made.path / "manifest.json").read_text())
    changed = {key: value for key, value in plain.items() if key != "seal"}
    changed |= {} if checksum is None else {"seal": checksum}
    (made.path / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(RunError, match=r"cannot be used: .*(seal|checksum)"):
        store.find("teach", "t", made.digest)


def test_a_change_of_the_summary_names_the_checksum(store: Store) -> None:
    made = hostile.made(store)
    plain = json.loads((made.path / "manifest.json").read_text())
    (made.path / "manifest.json").write_text(json.dumps(plain | {"summary": {"rows": 8}}))
    with pytest.raises(RunError, match=r"its checksum does not match its contents, .* changed; remove "):
        store.find("teach", "t", made.digest)


def _link_to_a_file(folder: Path, outside: Path) -> None:
    (outside / "data.txt").write_text("data")
    (folder / "data.txt").unlink()
    (folder / "data.txt").symlink_to(outside / "data.txt")


def _link_within_the_store(folder: Path, outside: Path) -> None:
    (folder / "data.txt").rename(folder.parent / "kept")
    (folder / "data.txt").symlink_to(folder.parent / "kept")


def _link_to_a_folder(folder: Path, outside: Path) -> None:
    (folder / "inner").rename(outside / "inner")
    (folder / "inner").symlink_to(outside / "inner")


def _pipe(folder: Path, outside: Path) -> None:
    (folder / "data.txt").unlink()
    os.mkfifo(folder / "data.txt")


def _further_file(folder: Path, outside: Path) -> None:
    (folder / "inner" / "tokenizer.json").write_text("{}")


def _further_link(folder: Path, outside: Path) -> None:
    (folder / "more").symlink_to(outside)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_link_to_a_file, "data.txt"),
        (_link_within_the_store, "data.txt"),
        (_link_to_a_folder, "inner/more.txt"),
        (_pipe, "data.txt"),
        (_further_file, "inner/tokenizer.json"),
        (_further_link, "more"),
    ],
)
def test_links_devices_and_further_files_of_an_artifact_are_refused(
    store: Store, tmp_path: Path, damage: Callable[[Path, Path], None], named: str
) -> None:
    made = hostile.made(store)
    outside = tmp_path / "outside"
    outside.mkdir()
    damage(made.path, outside)
    found = store.find("teach", "t", made.digest)
    assert found is not None
    with pytest.raises(RunError, match=rf"^{re.escape(str(made.path / named))} is not what was written there: it "):
        found.file("data.txt")


def _linked(place: Path, outside: Path) -> None:
    place.rename(outside / "moved")
    place.symlink_to(outside / "moved")


def _endless(place: Path, outside: Path) -> None:
    place.unlink()
    place.symlink_to("/dev/zero")


def _waiting(place: Path, outside: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def _circle(place: Path, outside: Path) -> None:
    place.unlink()
    place.symlink_to(place)


@pytest.mark.parametrize(
    ("place", "damage"),
    [
        ("teach/t-{}", _linked),
        ("teach/t-{}/manifest.json", _linked),
        ("teach/t-{}/manifest.json", _endless),
        ("teach/t-{}/manifest.json", _waiting),
        ("teach/t-{}/manifest.json", _circle),
    ],
)
def test_links_out_of_a_store_and_devices_in_it_are_refused(
    store: Store, tmp_path: Path, place: str, damage: Callable[[Path, Path], None]
) -> None:
    made = hostile.made(store)
    (tmp_path / "outside").mkdir()
    damage(Path(store.uri) / place.format(made.digest[:12]), tmp_path / "outside")
    sentence = surveyed(store)
    assert re.search(
        rf"teach/t-{made.digest[:12]}/manifest\.json' leads out of store '.*' or cannot be used ", sentence
    )
    with pytest.raises(ConfigError):
        store.find("teach", "t", made.digest)


def test_nothing_is_written_or_removed_through_a_link(store: Store, tmp_path: Path) -> None:
    store.make_folder("sweeps")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    (Path(store.uri) / "sweeps" / "s").symlink_to(tmp_path / "outside")
    for action in (
        lambda: store.write_bytes("sweeps/s/new", b""),
        lambda: store.remove("sweeps/s"),
        lambda: store.copy_in(tmp_path / "outside", "sweeps/s/new"),
        lambda: store.children("sweeps/s"),
        lambda: list(store.walk("sweeps/s")),
    ):
        with pytest.raises(ConfigError, match="a link leads to"):
            action()
    store.remove("sweeps")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["kept"]


def test_a_store_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    assert hostile.made(Store(str(tmp_path / "store"))).file("data.txt").read_text() == "data"


@pytest.mark.parametrize(
    "where",
    ["/etc/passwd", "a//b", "./a", "a/.", "a/", "../a", "a\\b", "a\0b", "a\nb", "a" * 256, "\ud800", "a/" * 600],
)
def test_no_odd_path_is_used(store: Store, where: str) -> None:
    for action in (store.exists, store.read_bytes, store.children, store.make_folder, store.local_path, store.remove):
        with pytest.raises(ConfigError, match=r"leads out of store '.*' or cannot be used there: "):
            action(where)
    with pytest.raises(ConfigError):
        store.write_bytes(where, b"")
    with pytest.raises(ConfigError):
        store.copy_out("a", [where], Path(store.uri))


def test_plain_paths_are_used() -> None:
    for where in ("a", "a/b.c", "..a/b..", "a b/é", "é" * 127, "a/" * 500 + "a"):
        assert fault_of_path(where) is None


def test_work_that_points_elsewhere_removes_nothing(store: Store, tmp_path: Path) -> None:
    """Names of folders in a work folder are of one form; everything else there is left alone."""
    made, work = hostile.made(store), store.work("ab" * 32)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "checksums.json").write_text("{}")
    work.save({"one": b"1"})
    store.write_json(f"{work.where}/latest.json", {"folder": made.where})
    inside, outside = (Path(store.uri) / work.where / f"latest-0000000{number}-abcdefgh" for number in (0, 1))
    inside.symlink_to(made.path)
    work.save({"one": b"2"})
    work.save({"one": b"3"})
    assert work.load() == {"one": b"3"}
    assert not inside.is_symlink()
    outside.symlink_to(tmp_path / "outside")
    for action in (work.load, lambda: work.save({"one": b"4"})):
        with pytest.raises(ConfigError, match="a link leads to"):
            action()
    work.clear()
    assert made.file("data.txt").read_text() == "data"
    assert (tmp_path / "outside" / "checksums.json").exists()


@pytest.mark.parametrize("name", ["../../../escaped", "/tmp/escaped", "a\\b", "a\0b"])
def test_a_checkpoint_whose_checksums_name_other_places_is_not_used(store: Store, name: str) -> None:
    work = store.work("ab" * 32)
    work.save({"one": b"1"})
    (folder,) = store.children(work.where)
    checksums = store.read_json(f"{work.where}/{folder}/checksums.json")
    changed = with_checksum({"files": {name: checksums["files"]["one"]}})
    store.write_json(f"{work.where}/{folder}/checksums.json", changed)
    assert work.load() is None


def test_names_of_artifacts_have_an_end(store: Store) -> None:
    with pytest.raises(ConfigError, match="at most 200 of them"):
        store.find("teach", "t" * 201, "0" * 64)


@pytest.mark.parametrize("summary", [{"score": float("nan")}, {"score": float("inf")}])
def test_a_summary_that_json_cannot_hold_is_one_sentence(store: Store, summary: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"could not be made: its manifest cannot be written \(.*JSON compliant"):
        store.make("teach", "t", settings={}, inputs={}, build=lambda d: d.file("x").write_text("x") and summary)
    assert store.artifacts("teach") == []


def test_an_artifact_without_files_is_not_made(store: Store) -> None:
    with pytest.raises(RunError, match=r"could not be made: its manifest cannot be written \(files: "):
        store.make("teach", "t", settings={}, inputs={}, build=lambda draft: {})
    assert store.children("teach") == []
