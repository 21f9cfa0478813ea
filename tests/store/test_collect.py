"""What is left over in a store is found and removed; what is in use or finished is not."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
import store_processes

from kdray.cli import main
from kdray.store import Store
from kdray.store.collect import collect, listing, usage, verify

SHORT = "ab" * 6


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def make(store: Store, stage: str, inputs: dict[str, str]) -> str:
    return store.make(stage, "n", settings={}, inputs=inputs, build=hostile.build)[0].digest


def old(store: Store, where: str, hours: float = 1000) -> None:
    """Everything there was changed so long ago."""
    then = time.time() - hours * 3600
    place = store.local_path(where)
    for path in (place, *place.rglob("*")):
        os.utime(path, (then, then))


def found(store: Store, *, delete: bool = False) -> dict[str, str]:
    return {each.where: each.kind for each in collect(store, delete=delete)}


@pytest.fixture
def holder(store: Store) -> Iterator["subprocess.Popen[str]"]:
    """A live process that holds the lock of one digest and writes nothing."""
    code = (
        "import sys; from kdray.store import Store\n"
        f"with Store({store.uri!r}).lock({SHORT * 5!r}):\n print('held', flush=True)\n sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def draft_of(store: Store, *, host: str, pid: int, digest: str = SHORT * 5 + "abab") -> str:
    place = store.local_path("drafts") / f"teach-t-{digest[:12]}-x"
    (place / "files").mkdir(parents=True)
    (place / "files" / "data.txt").write_text("half")
    (place / "owner.json").write_text(json.dumps({"host": host, "pid": pid, "digest": digest}))
    return f"drafts/{place.name}"


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_listing_names_size_age_and_users(store: Store) -> None:
    first = make(store, "corpus", {})
    second = make(store, "teach", {"corpus": first, "model": f"{first}/1"})
    store.write_json("sweeps/s/result.json", {"trials": [{"digest": second}]})
    rows, faults = listing(store)
    assert faults == []
    assert [(row.artifact.digest, row.bytes, row.used_by) for row in rows] == [
        (first, 8, (f"teach/n-{second[:12]}",)),
        (second, 8, ("sweeps/s",)),
    ]
    assert all(0 <= row.age_hours < 1 for row in rows)


def test_usage_counts_every_byte_once(store: Store) -> None:
    make(store, "teach", {})
    store.work(SHORT).save({"one": b"1" * 100})
    store.write_bytes("ray/x/log", b"1" * 7)
    store.write_bytes("loose", b"1" * 3)
    total = usage(store)
    assert (total["ray"], total["other"]) == (7, 3)
    assert total["work"] > 100
    assert sum(total.values()) == sum(p.stat().st_size for p in Path(store.uri).rglob("*") if p.is_file())


def test_verify_names_everything_damaged_and_nothing_else(store: Store) -> None:
    make(store, "corpus", {})
    digest = make(store, "teach", {})
    work = store.work(SHORT)
    work.save({"one": b"1"})
    assert list(verify(store)) == []
    store.local_path(f"teach/n-{digest[:12]}/data.txt").write_text("Data")
    (save,) = store.children(work.where)
    store.write_bytes(f"{work.where}/{save}/one", b"2")
    store.write_bytes(f"{work.where}/parts/0-ab.arrow", b"x" * 40)
    store.write_bytes("sweeps/s/result.json", b"{")
    damaged = list(verify(store))
    assert len(damaged) == 4
    for words in (
        "data.txt: its contents have changed",
        f"{save}: it is not",
        "0-ab.arrow: it is not",
        "not valid JSON",
    ):
        assert sum(words in sentence for sentence in damaged) == 1


def test_finished_things_are_never_left_over(store: Store) -> None:
    first = make(store, "corpus", {})
    make(store, "teach", {"corpus": first})
    store.write_json("sweeps/s/result.json", {})
    store.write_bytes("sweeps/s/study.db", b"x")
    for where in ("corpus", "teach", "sweeps", "locks"):
        old(store, where)
    before = sorted(Path(store.uri).rglob("*"))
    assert found(store, delete=True) == {}
    assert sorted(Path(store.uri).rglob("*")) == before


def test_leftovers_are_listed_and_removed_only_with_delete(store: Store) -> None:
    finished = make(store, "teach", {})
    store.work(finished).save({"one": b"1"})
    store.work(SHORT).save({"one": b"1"})
    store.work("cd" * 6).save({"one": b"1"})  # of today: it may be resumed
    for where in (f"distill/s-{SHORT}/model", "ray/t-abc123/log", "ray/s-1700000000/log", "ray/new/log"):
        store.write_bytes(where, b"x")
    store.write_bytes("sweeps/s/study.db", b"x")  # a sweep that has not ended
    store.write_bytes("sweeps/s/result.json.0123abcd.tmp", b"x")
    dead, foreign = draft_of(store, host=socket.gethostname(), pid=dead_pid()), f"drafts/teach-t-{SHORT}-without_a_note"
    store.local_path(foreign).mkdir()
    for where in (f"work/{SHORT}", "ray/t-abc123", "ray/s-1700000000", foreign, "sweeps"):
        old(store, where)
    expected = {
        f"work/{finished[:12]}": "work",
        f"work/{SHORT}": "work",
        f"distill/s-{SHORT}": "unpublished",
        "ray/t-abc123": "ray",
        "sweeps/s/result.json.0123abcd.tmp": "temporary",
        dead: "draft",
        foreign: "draft",
    }
    before = sorted(Path(store.uri).rglob("*"))
    assert found(store) == expected
    assert sorted(Path(store.uri).rglob("*")) == before
    assert found(store, delete=True) == expected
    assert found(store) == {}
    assert not any(store.exists(where) for where in expected)
    assert store.children("work") == ["cd" * 6]
    assert store.children("ray") == ["new", "s-1700000000"]
    assert store.find("teach", "n", finished) is not None


@pytest.mark.usefixtures("holder")
def test_nothing_of_a_live_process_that_holds_a_lock_is_removed(store: Store) -> None:
    store.work(SHORT).save({"one": b"1"})
    store.write_bytes(f"distill/s-{SHORT}/model", b"x")
    store.write_bytes("ray/t-abc123/log", b"x")
    draft_of(store, host=socket.gethostname(), pid=dead_pid())  # as if its note were wrong
    for where in ("work", "distill", "ray", "drafts"):
        old(store, where)
    before = sorted(Path(store.uri).rglob("*"))
    assert found(store, delete=True) == {}
    assert sorted(Path(store.uri).rglob("*")) == before


def test_what_its_process_held_is_left_over_once_it_is_dead(store: Store, holder: Any) -> None:
    store.work(SHORT).save({"one": b"1"})
    old(store, "work")
    assert found(store) == {}
    holder.kill()
    holder.wait()
    assert found(store) == {f"work/{SHORT}": "work"}


def test_links_are_neither_followed_nor_removed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    for where in (f"work/{SHORT}", f"distill/s-{SHORT}", "ray/t-abc123", "drafts/d"):
        link = Path(store.uri) / where
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(tmp_path / "outside")
    old(store, "")
    assert found(store, delete=True) == {}
    assert (tmp_path / "outside" / "kept").exists()


@pytest.mark.parametrize(("host", "is_removed"), [(socket.gethostname(), True), ("another", False)])
def test_drafts_of_dead_processes_are_cleared_by_the_next_command(store: Store, host: str, is_removed: bool) -> None:
    place = draft_of(store, host=host, pid=dead_pid())
    mine = draft_of(store, host=socket.gethostname(), pid=os.getpid(), digest="cd" * 32)
    make(store, "teach", {})
    assert store.exists(place) is not is_removed
    assert store.exists(mine)


def test_the_draft_of_a_killed_command_is_cleared(store: Store) -> None:
    child = multiprocessing.get_context("spawn").Process(
        target=store_processes.die_while_building, args=(Path(store.uri),)
    )
    child.start()
    child.join()
    assert len(store.children("drafts")) == 1
    _, reused = store.make("teach", "t", settings=store_processes.SETTINGS, inputs={}, build=hostile.build)
    assert not reused
    assert store.children("drafts") == []


@pytest.mark.parametrize("action", ["ls", "du", "gc", "verify"])
def test_a_folder_that_is_no_store_is_refused(action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for where in ("drafts/thesis", "src", f"work/{SHORT}", f"teach/n-{SHORT}"):
        (tmp_path / "proj" / where).mkdir(parents=True)
        (tmp_path / "proj" / where / "a").write_text("x")
    (tmp_path / "proj" / "manifest.json").write_text("{}")
    (tmp_path / "proj" / f"teach/n-{SHORT}" / "manifest.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    flags = ["--delete", "--older-than", "0"] if action == "gc" else []
    assert main(["store", action, str(tmp_path / "proj"), *flags]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "proj' is no store: it has neither kdray-store.json nor an artifact with a whole manifest; give" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_of_earlier_versions_is_known_by_its_manifests(store: Store) -> None:
    assert not store.is_store()
    make(store, "teach", {})
    assert store.is_store()
    store.remove("kdray-store.json")
    assert store.is_store()


def test_only_names_of_kdray_are_removed_and_other_files_stay(store: Store) -> None:
    make(store, "teach", {})
    for where in ("drafts/thesis/a", "work/thesis/a", "ray/thesis/a", "teach/thesis/a", "sweeps/a", "notes.txt"):
        store.write_bytes(where, b"x")
    old(store, "")
    assert found(store, delete=True) == {}
    assert list(verify(store)) == []
    assert len(listing(store)[0]) == 1


@pytest.mark.parametrize("action", ["ls", "du", "gc", "verify"])
def test_files_where_folders_are_expected_do_not_stop_the_command(action: str, store: Store) -> None:
    make(store, "teach", {})
    for where in ("work", "sweeps", "ray", "corpus"):
        store.write_bytes(where, b"x")
    assert main(["store", action, store.uri]) == 0


def test_the_command_shows_and_removes(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    digest = make(store, "teach", {})
    store.work(digest).save({"one": b"1"})
    for action, words in (("ls", digest[:12]), ("du", "total"), ("verify", "all files match their digests")):
        assert main(["store", action, store.uri]) == 0
        assert words in capsys.readouterr().out
    assert main(["store", "gc", store.uri]) == 0
    assert "1 leftovers, " in (said := capsys.readouterr().out)
    assert "could be removed with --delete" in said
    assert main(["store", "gc", store.uri, "--delete", "--json"]) == 0
    assert [each["where"] for each in json.loads(capsys.readouterr().out)["leftovers"]] == [f"work/{digest[:12]}"]
    assert store.children("work") == []
    store.local_path(f"teach/n-{digest[:12]}/data.txt").write_text("Data")
    assert main(["store", "verify", store.uri]) == 1
    assert "data.txt: its contents have changed" in capsys.readouterr().out
    assert main(["store", "ls", f"{store.uri}/nothing"]) == 2
    assert main(["store", "gc", store.uri, "--older-than", "-1"]) == 2
    assert "--older-than -1: give hours, 0 or more." in capsys.readouterr().err
