"""A store in a bucket: the same promises as in a folder."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import hostile
import objects
import pytest
from hostile import MANIFESTS, build
from objects import Server

from kdray import retries
from kdray.errors import ConfigError, RunError
from kdray.store import Artifact, Draft, Store, WorkFolder
from kdray.store.collect import collect, listing, usage, verify

SETTINGS = {"a": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with objects.serving(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key, value in objects.ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    another_machine(monkeypatch, tmp_path / "one")


def another_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """One whose copies of what is in the store lie elsewhere."""
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


@pytest.fixture
def store(server: Server, request: pytest.FixtureRequest) -> Store:
    bucket = "".join(letter for letter in request.node.name if letter.isalnum()).lower()[:60]
    return Store(server.uri(f"{bucket}/inner"))


def make(store: Store, **changes: Any) -> tuple[Artifact, bool]:
    return store.make("teach", "t", **({"settings": SETTINGS, "inputs": {}, "build": build} | changes))


def test_made_once_and_found_from_then_on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, reused = make(store)
    assert not reused
    assert made.file("inner/more.txt").read_text() == "more"
    assert made.summary == {"rows": 7}
    another_machine(monkeypatch, tmp_path / "two")
    again, reused = make(store, build=lambda draft: pytest.fail("built twice"))
    assert reused
    assert again.folder != made.folder
    assert again.file("inner/more.txt").read_text() == "more"
    assert [artifact.digest for artifact in store.artifacts("teach")] == [made.digest]
    assert store.children("work") == []


def test_without_a_manifest_there_is_no_artifact(store: Store) -> None:
    """A process killed while it published leaves files that no manifest vouches for."""
    digest = make(Store(store.uri.replace("/inner", "/other")))[0].digest
    where = store.folder_name("teach", "t", digest)
    store.write_bytes(f"{where}/left-behind.txt", b"from the killed run")
    assert store.find("teach", "t", digest) is None
    assert store.artifacts("teach") == []
    made, reused = make(store)
    assert not reused
    assert store.children(made.place()) == ["data.txt", "inner"]
    assert not made.file("left-behind.txt").exists()


def test_copies_of_two_stores_are_kept_apart(store: Store) -> None:
    """Artifacts with one digest may differ in what depends on the machine, such as seconds and hosts."""
    other = Store(store.uri.replace("/inner", "/other"))
    mine, _ = make(store)
    theirs, _ = make(other, build=lambda draft: {**build(draft), "rows": 8})
    assert mine.digest == theirs.digest
    assert (mine.summary["rows"], theirs.summary["rows"]) == (7, 8)
    assert mine.folder != theirs.folder


def test_a_bucket_is_a_store_once_an_artifact_was_made(store: Store) -> None:
    store.write_bytes("drafts/thesis/a", b"x")
    assert not store.is_store()
    make(store)
    assert store.exists("kdray-store.json")
    assert store.is_store()
    assert store.stages() == ["teach"]
    store.remove("kdray-store.json")
    assert store.is_store()


def test_a_build_that_raises_leaves_nothing(store: Store, tmp_path: Path) -> None:
    def fails(draft: Draft) -> dict[str, Any]:
        build(draft)
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        make(store, build=fails)
    assert store.artifacts("teach") == []
    assert not list((tmp_path / "one" / "kdray-drafts").iterdir())


class TestWork:
    @pytest.fixture
    def work(self, store: Store) -> WorkFolder:
        return store.work("ab" * 32)

    def test_the_last_whole_save_is_loaded(self, store: Store, work: WorkFolder) -> None:
        assert work.load() is None
        work.save({"weights": b"1", "state": b"one"})
        work.save({"weights": b"2"})
        assert work.load() == {"weights": b"2"}
        assert len(store.children(work.where)) == 2  # the last and the one before

    def test_results_are_handed_over_whole(self, work: WorkFolder, tmp_path: Path) -> None:
        (tmp_path / "made" / "inner").mkdir(parents=True)
        (tmp_path / "made" / "inner" / "weights").write_bytes(b"w")
        (tmp_path / "taken").mkdir()
        work.save_result(tmp_path / "made")
        work.take_result(tmp_path / "taken")
        assert (tmp_path / "taken" / "inner" / "weights").read_bytes() == b"w"

    def test_a_file_replaced_while_it_is_read_is_read_again(
        self, store: Store, work: WorkFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        work.save({"weights": b"1"})
        read_bytes, other = Store.read_bytes, Store(store.uri).work("ab" * 32)

        def slow(self: Store, where: str, *, most: int | None = None) -> bytes:
            if self is store and where.endswith("/weights") and other.load() == {"weights": b"1"}:
                other.save({"weights": b"2"})
                other.save({"weights": b"3"})
            return read_bytes(self, where, most=most)

        monkeypatch.setattr(Store, "read_bytes", slow)
        assert work.load() == {"weights": b"3"}
        assert "damaged" not in caplog.text

    def test_a_result_that_another_has_cleared_is_missed(self, work: WorkFolder, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            work.take_result(tmp_path)

    def test_clearing_leaves_nothing_and_may_be_repeated(self, work: WorkFolder) -> None:
        work.save({"weights": b"1"})
        work.clear()
        work.clear()
        assert work.load() is None


@pytest.mark.slow
def test_a_server_that_comes_back_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer than Arrow's own six seconds."""
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0.1)
    port = objects.free_port()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(Store(objects.uri(port, "bucket/inner")).exists, "nothing")
        while "does not answer" not in caplog.text:
            assert not found.done()
            time.sleep(0.1)
        with objects.serving(tmp_path, port):
            assert found.result() is False


def test_a_server_that_stays_away_is_an_error_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PATIENCE_SECONDS", 0.0)
    store = Store(objects.uri(objects.free_port(), "bucket/inner"))
    with pytest.raises(RunError, match=r"^s3://bucket/inner\S* does not answer"):
        store.exists("nothing")


def test_places_within_it_keep_its_options(server: Server) -> None:
    assert Store(server.uri("bucket/inner/")).uri_of("ray") == server.uri("bucket/inner/ray")


@pytest.mark.parametrize("uri", ["s3://name:geheim@bucket/inner", "s3://name:geheim@bucket?region=us-east-1"])
def test_keys_in_the_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY") as refused:
        Store(uri)
    assert "geheim" not in str(refused.value)


def test_who_comes_second_takes_what_the_first_published(store: Store) -> None:
    """Two processes make the same thing: nothing locks a bucket."""

    def second(draft: Draft) -> dict[str, Any]:
        first, reused = make(Store(store.uri))
        assert not reused
        return {**build(draft), "rows": first.summary["rows"] + 1}

    made, _ = make(store, build=second)
    assert made.summary == {"rows": 7}


def test_two_that_publish_at_the_same_moment_leave_one_that_is_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their files differ, as seconds do; neither may read the other's under its own manifest."""
    copy_in, others = Store.copy_in, Store(store.uri)

    def slow(self: Store, folder: Path, where: str) -> None:
        copy_in(self, folder, where)
        if self is store:  # the other publishes between this one's files and its manifest
            make(others, build=lambda draft: {**build(draft), "rows": 8})

    monkeypatch.setattr(Store, "copy_in", slow)
    mine, _ = make(store, build=lambda draft: {**build(draft), "rows": 9})
    assert mine.summary == {"rows": 8}
    assert mine.file("data.txt").read_text() == "data"
    assert len(store.children(mine.where)) == 2  # the manifest and one folder


def test_who_lost_its_work_to_the_first_takes_what_that_published(store: Store) -> None:
    def second(draft: Draft) -> dict[str, Any]:
        make(Store(store.uri))
        raise FileNotFoundError("a part that the first has cleared")

    made, reused = make(store, build=second)
    assert reused
    assert made.summary == {"rows": 7}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_hostile_manifest_is_refused_and_nothing_is_copied(store: Store, tmp_path: Path, kind: str) -> None:
    made, _ = make(store)
    change, words = MANIFESTS[kind]
    hostile.write_manifest(store, made.where, change(dict(made.manifest)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match=rf"{made.where}/manifest\.json\S* cannot be used: ") as refused:
        store.find("teach", "t", made.digest)
    assert words in str(refused.value)
    assert store.artifacts("teach") == []
    assert sorted(tmp_path.rglob("*")) == before


def test_keys_that_lead_out_of_a_folder_are_never_copied(
    server: Server, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket takes any key; `..` in one leads out of the copy on this machine."""
    made, _ = make(store)
    bucket, _, inner = store._root.partition("/")
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.port}", region_name="us-east-1")
    work = store.work("ab" * 32)
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "weights").write_bytes(b"w")
    work.save_result(tmp_path / "result")
    (result,) = store.children(work.where)
    for key in (
        f"{made.place()}/../../../../../../../escaped",
        f"{work.where}/{result}/../../../escaped",
        "teach/../x",
    ):
        client.put_object(Bucket=bucket, Key=f"{inner}/{key}", Body=b"escaped")
    another_machine(monkeypatch, tmp_path / "two")
    found = store.find("teach", "t", made.digest)
    assert found is not None
    assert sorted(p.name for p in found.folder.rglob("*") if p.is_file()) == ["data.txt", "manifest.json", "more.txt"]
    (tmp_path / "taken").mkdir()
    with pytest.raises(RunError, match="is damaged; run the same command again"):
        work.take_result(tmp_path / "taken")
    assert list((tmp_path / "taken").iterdir()) == []
    assert not list(tmp_path.rglob("*escaped*"))
    assert [type(found).__name__ for _, found in store.survey("teach")] == ["ConfigError", "Artifact"]


def test_garbage_of_killed_publishers_is_collected_and_what_is_published_stays(store: Store) -> None:
    made, _ = make(store)
    garbage = f"{made.where}/0123abcd"
    unpublished = f"teach/t-{'0' * 12}/0123abcd"
    for where in (garbage, unpublished):
        store.write_bytes(f"{where}/data.txt", b"half")
    store.work(made.digest).save({"one": b"1"})
    store.work("cd" * 32).save({"one": b"1"})
    finished = f"work/{made.digest[:12]}"
    assert {each.where for each in collect(store)} == {finished}  # the rest may be in the making: it is of today
    found = {each.where for each in collect(store, older_than=0, delete=True)}
    assert found == {garbage, unpublished, finished, f"work/{'cd' * 6}"}
    assert collect(store, older_than=0) == []
    assert list(verify(store)) == []
    again = store.find("teach", "t", made.digest)
    assert again is not None
    assert again.file("data.txt").read_text() == "data"
    rows, _ = listing(store)
    assert [(row.artifact.digest, row.bytes) for row in rows] == [(made.digest, 8)]
    assert usage(store)["teach"] > 8
    store.write_bytes(f"{made.place()}/data.txt", b"Data")
    (sentence,) = verify(store)
    assert "data.txt: its contents have changed" in sentence
