"""Artifacts are named by what made them, written once, and believed only when whole."""

import json
import multiprocessing
import os
import re
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import store_processes
from store_processes import SETTINGS

from kdray.errors import ConfigError, RunError
from kdray.seeds import seed_of
from kdray.store import Draft, Store, canonical, digest_of

DIGEST = digest_of("teach", settings=SETTINGS, inputs={})
FILES = ("data.txt", "inner/more.txt")


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def build(draft: Draft) -> dict[str, Any]:
    draft.file("data.txt").write_text("data")
    draft.file("inner").mkdir()
    draft.file("inner/more.txt").write_text("more")
    return {"rows": 7}


def make(store: Store, **changes: Any):
    return store.make("teach", "t", **({"settings": SETTINGS, "inputs": {}, "build": build} | changes))


def test_a_relative_folder_is_the_same_store_from_another_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = Store("st")
    made, _ = make(there)
    (tmp_path / "of-a-worker").mkdir()
    monkeypatch.chdir(tmp_path / "of-a-worker")
    assert there.uri == str(tmp_path / "st")
    assert [each.digest for each in Store(there.uri).artifacts("teach")] == [made.digest]


def test_a_digest_never_changes():
    """sha256 of {"format":1,"inputs":{"corpus":"00"},"settings":{"a":"é","b":[1,2.5,null,true]},"stage":"teach"}."""
    settings = {"b": [1, 2.5, None, True], "a": "é"}
    assert digest_of("teach", settings=settings, inputs={"corpus": "00"}) == (
        "5e8ba35663b9b0498c9547bdb52123951f448ab3c9322bfbd53d379c9bb5bf69"
    )


def test_a_digest_depends_on_every_part_but_not_on_the_order():
    def digest(stage: str = "teach", settings: Any = None, inputs: Any = None) -> str:
        return digest_of(stage, settings=settings or {"a": 1, "b": {"c": 2}}, inputs=inputs or {"x": "0", "y": "1"})

    assert digest() == digest(settings={"b": {"c": 2}, "a": 1}, inputs={"y": "1", "x": "0"})
    others = [
        digest(stage="distill"),
        digest(settings={"a": 1, "b": {"c": 3}}),
        digest(settings={"a": 1.5, "b": {"c": 2}}),
        digest(inputs={"x": "1", "y": "0"}),
        digest(inputs={"x": "0"}),
    ]
    assert len({digest(), *others}) == 6


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_digest_of_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": value})


def test_seeds_never_change_and_depend_on_every_part():
    assert seed_of(0, 1, "dropout") == 7353608421830858362  # half of the first 8 bytes of a sha256
    keys = [(0, 1, "dropout"), (1, 0, "dropout"), (0, 1, "order"), (0, 1), (0, "1", "dropout"), (0, 1, "dropout", 0)]
    assert len({seed_of(*key) for key in keys}) == len(keys)
    assert all(0 <= seed_of(key) < 2**63 for key in range(100))


def test_made_once_and_found_from_then_on(store):
    assert store.find("teach", "t", DIGEST) is None
    made, reused = make(store)
    assert not reused
    again, reused = make(store, build=lambda draft: pytest.fail("built twice"))
    assert reused
    assert again == made == store.find("teach", "t", DIGEST)
    assert made.where == f"teach/t-{DIGEST[:12]}"
    assert made.file("inner/more.txt").read_text() == "more"
    assert made.summary == {"rows": 7}
    files = {name: {"bytes": 4, "sha256": sha256(made.file(name).read_bytes()).hexdigest()} for name in FILES}
    assert made.manifest["files"] == files
    assert (made.manifest["settings"], made.manifest["inputs"], made.manifest["digest"]) == (SETTINGS, {}, DIGEST)
    assert store.artifacts("teach") == [made]
    assert not list((Path(store.uri) / "drafts").iterdir())


def test_other_settings_are_another_artifact(store):
    one, _ = make(store)
    two, reused = make(store, settings={"a": 2})
    assert not reused
    assert {a.digest for a in store.artifacts("teach")} == {one.digest, two.digest}


def test_without_a_manifest_there_is_no_artifact(store):
    """A process killed after its files were moved and before its manifest was written leaves this."""
    made, _ = make(store)
    made.file("manifest.json").unlink()
    made.file("left-behind.txt").write_text("from the killed run")
    assert store.find("teach", "t", DIGEST) is None
    assert store.artifacts("teach") == []
    again, reused = make(store)
    assert not reused
    assert not again.file("left-behind.txt").exists()


def test_a_killed_build_leaves_nothing_to_believe(store):
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=store_processes.die_while_building, args=(Path(store.uri),))
    child.start()
    child.join()
    assert child.exitcode == 9
    assert store.find("teach", "t", DIGEST) is None
    made, reused = make(store)  # the lock of the dead does not hold
    assert not reused
    assert made.file("data.txt").read_text() == "data"


def test_a_build_that_raises_leaves_nothing(store):
    def fail(draft: Draft) -> dict[str, Any]:
        build(draft)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make(store, build=fail)
    assert store.find("teach", "t", DIGEST) is None
    assert not list((Path(store.uri) / "drafts").iterdir())


def test_two_processes_build_once(store, tmp_path):
    context, made = multiprocessing.get_context("spawn"), tmp_path / "made"
    barrier = context.Barrier(2)
    args = (Path(store.uri), made, barrier)
    children = [context.Process(target=store_processes.make_together, args=(rank, *args)) for rank in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert made.read_text() == "built\n"


@pytest.mark.parametrize("name", ["", "..", ".", "../x", "a/b", "/a", "-a", ".hidden", "a b", "a\nb", "é", "a\\b"])
def test_names_that_could_leave_the_store_are_refused(store, name):
    with pytest.raises(ConfigError, match="cannot name an artifact: use letters, digits"):
        store.make("teach", name, settings={}, inputs={}, build=build)
    with pytest.raises(ConfigError, match="cannot name an artifact"):
        store.find(name, "t", DIGEST)


def test_no_path_leads_out_of_the_store(store):
    for where in ("../x", "sweeps/../../x", "sweeps/.."):
        for action in (store.exists, store.read_bytes, store.children, store.make_folder, store.local_path):
            with pytest.raises(ConfigError, match="leads out of store"):
                action(where)
        with pytest.raises(ConfigError, match="leads out of store"):
            store.write_bytes(where, b"")
    assert store.children("..x") == []


def test_a_folder_with_another_digest_is_not_taken_for_it(store):
    """Folders hold 12 of the digest's 64 characters; the manifest has all."""
    make(store)
    other = DIGEST[:12] + "0" * 52
    with pytest.raises(RunError, match=f"its manifest holds digest {DIGEST}, expected {other}"):
        store.find("teach", "t", other)


def test_a_broken_manifest_is_reported(store):
    made, _ = make(store)
    made.file("manifest.json").write_text('{"digest": ')
    with pytest.raises(RunError, match=r"manifest.json is not valid JSON .*; remove its folder"):
        store.find("teach", "t", DIGEST)


def test_a_file_or_a_broken_link_where_the_store_should_be_is_one_sentence(tmp_path):
    (tmp_path / "store").write_text("not a folder")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("store", "link"):
        with pytest.raises(
            ConfigError, match=rf"^store '.*{name}' is a file or a broken link; give a folder or a URI\.$"
        ):
            Store(str(tmp_path / name))


@pytest.mark.parametrize("uri", ["", " ", "a\0b", "a\nb", "s3://bucket\0", "file:///tmp/\0"])
def test_an_empty_store_and_control_characters_are_refused(uri):
    with pytest.raises(
        ConfigError, match=r"^store '.*' is empty or holds a control character; give a folder or a URI\.$"
    ):
        Store(uri)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_folder_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match=r"cannot be written: Permission denied"):
        make(Store(str(tmp_path / "store")))


def test_a_file_in_place_of_a_stage_folder_is_reported(store):
    Path(store.uri).mkdir()
    (Path(store.uri) / "teach").write_text("a file where a stage's folder belongs")
    with pytest.raises(RunError, match=rf"^{store.uri}/teach/t-{DIGEST[:12]} could not be made: .*\.$"):
        make(store)
    assert not list((Path(store.uri) / "drafts").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_sentence(store):
    def fill(draft: Draft) -> dict[str, Any]:
        draft.file("data.txt").symlink_to("/dev/full")
        draft.file("data.txt").write_text("no space for this")
        return {}

    with pytest.raises(RunError, match=r"could not be made: No space left on device\.$"):
        make(store, build=fill)
    assert store.find("teach", "t", DIGEST) is None


@pytest.mark.parametrize("uri", ["nonsense://bucket/x", "s4://bucket"])
def test_unknown_kinds_of_store_are_refused(uri):
    with pytest.raises(ConfigError, match=rf"^store '{uri}' is not a folder or a URI that pyarrow can open"):
        Store(uri)


def test_a_store_is_a_folder_or_a_file_uri(tmp_path):
    made, _ = make(Store(str(tmp_path)))
    found = Store(f"file://{tmp_path}").find("teach", "t", DIGEST)
    assert found is not None
    assert found.folder == made.folder
    assert Store(str(tmp_path)).local_path("a/b") == tmp_path / "a/b"


def test_a_relative_store_is_where_it_was_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("here")
    monkeypatch.chdir("/")
    made, _ = make(store)
    assert made.folder.parent.parent == tmp_path / "here"


def test_json_is_whole_or_not_there(store):
    assert store.read_json("a/b.json") is None
    store.write_json("a/b.json", {"x": "é"})
    store.write_json("a/b.json", {"x": [1]})
    assert store.read_json("a/b.json") == {"x": [1]}
    assert store.children("a") == ["b.json"]  # no temporary file is left
    assert store.exists("a/b.json")
    assert not store.exists("a/c.json")


class TestWork:
    @pytest.fixture
    def work(self, store):
        return store.work(DIGEST)

    def test_the_last_whole_save_is_loaded(self, work):
        assert work.load() is None
        work.save({"one": b"1", "two": b"22"})
        work.save({"three": b"333"})
        assert work.load() == {"three": b"333"}

    def test_only_the_last_two_saves_take_space(self, store, work):
        for content in (b"1", b"2", b"3"):
            work.save({"one": content})
        assert len(store.children(work.where)) == 2  # the last and the one before

    def test_an_unfinished_save_changes_nothing(self, store, work):
        """Files of a save that was killed before it pointed at them."""
        work.save({"one": b"1"})
        store.write_bytes(f"{work.where}/deadbeef/one", b"half")
        assert work.load() == {"one": b"1"}
        work.save({"one": b"2"})
        assert work.load() == {"one": b"2"}

    def test_a_save_that_fails_keeps_the_one_before(self, store, work):
        work.save({"one": b"1"})
        with pytest.raises(RunError, match=r"one/below could not be written: "):
            work.save({"one": b"2", "one/below": b"3"})
        assert work.load() == {"one": b"1"}

    def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(self, store, work):
        store.write_bytes(f"{work.where}/one/in", b"1")
        with pytest.raises(RunError, match=rf"^{store.uri_of(work.where)}/one could not be written: .*\.$"):
            store.write_bytes(f"{work.where}/one", b"2")
        assert store.children(work.where) == ["one"]
        assert store.read_bytes(f"{work.where}/one/in") == b"1"

    def test_results_are_handed_over_whole(self, work, tmp_path):
        for content in ("old", "new"):
            source = tmp_path / content
            (source / "model").mkdir(parents=True)
            (source / f"{content}.txt").write_text(content)
            (source / "model" / "weights").write_text(content)
            work.save_result(source)
        taken = tmp_path / "taken"
        taken.mkdir()
        work.take_result(taken)
        assert sorted(str(p.relative_to(taken)) for p in taken.rglob("*") if p.is_file()) == [
            "model/weights",
            "new.txt",
        ]

    def test_clearing_leaves_nothing_and_may_be_repeated(self, store, work):
        work.save({"one": b"1"})
        work.clear()
        work.clear()
        assert work.load() is None
        assert not store.exists(work.where)


def test_no_manifest_is_written_for_a_folder_that_vanishes(store):
    def vanish(draft: Draft) -> dict[str, Any]:
        shutil.rmtree(draft.folder)
        return {}

    with pytest.raises(RunError, match="could not be made"):
        make(store, build=vanish)
    assert store.find("teach", "t", DIGEST) is None


def test_manifests_are_plain_json(store):
    made, _ = make(store)
    plain = json.loads(made.file("manifest.json").read_text())
    said = {
        "stage",
        "name",
        "digest",
        "settings",
        "inputs",
        "summary",
        "seconds",
        "made",
        "host",
        "kdray",
        "files",
        "seal",
    }
    assert set(plain) == said


@pytest.mark.parametrize("damage", [b"dat", b"dada", None])
def test_a_file_that_is_not_what_was_written_is_named(store, monkeypatch, damage):
    """Cut off, changed at the same size, or gone."""
    made, _ = make(store)
    assert made.file("data.txt").read_text() == "data"
    file = made.path / "data.txt"
    file.unlink() if damage is None else file.write_bytes(damage)
    monkeypatch.setattr("kdray.store.artifact._intact", set())  # as in another process
    again, reused = make(store)
    assert reused
    with pytest.raises(
        RunError, match=rf"^{re.escape(str(file))} is not what was written there: .*; remove {made.path} "
    ):
        again.file("inner/more.txt")


class TestDamagedWork:
    """No damaged bytes of a checkpoint are ever used."""

    @pytest.fixture
    def work(self, store):
        return store.work(DIGEST)

    def saves(self, store, work):
        return [Path(store.uri) / work.where / name for name in store.children(work.where)]

    @pytest.mark.parametrize("file", ["one", "two", "checksums.json"])
    def test_a_flipped_bit_anywhere_leads_to_the_one_before(self, store, work, caplog, file):
        content = bytes(range(256))
        work.save({"one": b"before", "two": b"22"})
        work.save({"one": content, "two": b"2" * 40})
        last = self.saves(store, work)[-1]
        whole = {path.name: path.read_bytes() for path in last.iterdir()}
        for place in range(0, len(whole[file]), 3):
            last.mkdir(exist_ok=True)
            for name, written in whole.items():
                (last / name).write_bytes(written)
            flipped = bytearray(whole[file])
            flipped[place] ^= 1 << (place % 8)
            (last / file).write_bytes(flipped)
            caplog.clear()
            found = work.load()
            if found is None or found["one"] == b"before":
                assert found == {"one": b"before", "two": b"22"}, place
                (message,) = [record.getMessage() for record in caplog.records]
                assert message == f"{last} is damaged and is removed; the one before it is used"
            else:  # white space and the like of the checksums, which mean nothing
                assert file == "checksums.json"
                assert found == {"one": content, "two": b"2" * 40}, place

    @pytest.mark.parametrize("change", ["shorter", "longer", "empty", "gone", "swapped"])
    def test_other_damage_leads_to_the_one_before(self, store, work, change):
        work.save({"one": b"1" * 8, "two": b"2" * 8})
        work.save({"one": b"3" * 8, "two": b"4" * 8})
        last = self.saves(store, work)[-1]
        content = (last / "one").read_bytes()
        if change == "gone":
            (last / "one").unlink()
        else:
            changed = {"shorter": content[:-1], "longer": content + b"x", "empty": b"", "swapped": b"4" * 8}
            (last / "one").write_bytes(changed[change])
        assert work.load() == {"one": b"1" * 8, "two": b"2" * 8}
        assert work.damaged() == []

    def test_without_an_earlier_checkpoint_the_work_restarts_with_a_warning(self, store, work, caplog):
        work.save({"one": b"1"})
        (only,) = self.saves(store, work)
        (only / "one").write_bytes(b"2")
        assert work.load() is None
        assert [record.getMessage() for record in caplog.records] == [
            f"{only} is damaged and is removed; there is no other, so the work starts over"
        ]

    def test_after_a_fall_back_saves_are_resumed_as_ever(self, store, work):
        for content in (b"1", b"2", b"3"):
            work.save({"one": content})
        (self.saves(store, work)[-1] / "one").write_bytes(b"x")
        assert work.load() == {"one": b"2"}
        work.save({"one": b"4"})
        assert work.load() == {"one": b"4"}

    def test_a_damaged_result_is_not_taken(self, store, work, tmp_path):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "weights").write_bytes(b"w")
        work.save_result(tmp_path / "made")
        (self.saves(store, work)[0] / "weights").write_bytes(b"v")
        (tmp_path / "taken").mkdir()
        with pytest.raises(RunError, match=r"is damaged; run the same command again\.$"):
            work.take_result(tmp_path / "taken")
        assert list((tmp_path / "taken").iterdir()) == []


def test_files_are_on_the_disk_before_the_manifest_is(store, monkeypatch):
    """A power loss after the manifest must not leave empty files behind it; all of them are forced to the disk."""
    forced = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        forced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    store.write_json("kdray-store.json", {})
    monkeypatch.setattr(os, "fsync", noting)
    make(store)
    assert sorted(forced[:-1]) == ["data.txt", "more.txt"]
    assert re.fullmatch(r"manifest\.json\.[0-9a-f]{8}\.tmp", forced[-1])


def test_other_users_may_read_an_artifact(store):
    """Temporary folders have mode 0700, which would break stores that users share: the umask decides."""
    umask = os.umask(0o022)
    try:
        made, _ = make(store)
    finally:
        os.umask(umask)
    modes = {str(path.relative_to(made.path)): path.stat().st_mode & 0o777 for path in made.path.rglob("*")}
    assert made.path.stat().st_mode & 0o777 == 0o755
    assert modes == {"data.txt": 0o644, "inner": 0o755, "inner/more.txt": 0o644, "manifest.json": 0o644}
