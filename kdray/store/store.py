"""A store is a `pyarrow.fs` URI: a folder by default, `s3://`, `gs://` or a mounted share on a cluster.

Layout: `<stage>/<name>-<digest12>/{files..., manifest.json}` for artifacts, `work/<digest12>/` for the checkpoints of
what is still being made. `manifest.json` is written last; without it the artifact does not exist. Nothing can lock a
bucket, so there each process that makes an artifact puts its files into a folder of its own, which the manifest names.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import filelock
from pyarrow import fs

import kdray
from kdray.errors import BadInput, RunFailed
from kdray.redact import without_passwords
from kdray.store.digest import digest_of, file_sha256

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
PATIENCE_SECONDS, RETRY_SECONDS = 120.0, 2.0
T = TypeVar("T")
_intact: set[Path] = set()  # artifacts whose files this process has compared
SHORT = 12  # characters of the digest in a folder's name; the whole digest is in the manifest


@dataclass(frozen=True)
class Artifact:
    """Something whole in a store; `where` is its place there, `path` a local folder with its files."""

    stage: str
    name: str
    digest: str
    path: Path
    where: str
    manifest: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """`path`, to read from: the first time in a process every file is compared with what was written.

        Raises:
            RunFailed: A file is missing or has other contents.
        """
        if self.path not in _intact:
            for name, written in self.manifest["files"].items():
                file = self.path / name
                if not file.is_file() or not _is_as(written, file):
                    raise RunFailed(f"{file} is not what was written there; remove {self.path} to make it anew.")
            _intact.add(self.path)
        return self.path

    @property
    def summary(self) -> Mapping[str, Any]:
        """What the stage said of it when it was made (rows, seconds, scores)."""
        return self.manifest["summary"]

    def file(self, name: str) -> Path:
        return self.folder / name

    def place(self, name: str = "") -> str:
        """Where one of its files, or all of them, lie in the store."""
        return "/".join(part for part in (self.where, self.manifest.get("folder"), name) if part)


@dataclass(frozen=True)
class Draft:
    """An artifact being made: write files into `folder`; `Store.make` publishes them."""

    folder: Path

    def file(self, name: str) -> Path:
        return self.folder / name


class Store:
    """Artifacts by stage, name and digest. Safe for several processes at once; on a local disk each is made once."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        if without_passwords(uri) != uri:
            raise BadInput(
                f"store {without_passwords(uri)!r} holds a secret, which would be written down with the settings; "
                "give it as the cloud wants it (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a role, a profile)."
            )
        try:
            self._fs, self._root = fs.FileSystem.from_uri(
                uri if "://" in uri else str(Path(uri).expanduser().absolute())
            )
        except (ValueError, OSError) as error:
            raise BadInput(
                f"store {without_passwords(uri)!r} is not a folder or a URI that pyarrow knows: {error}"
            ) from error
        self.is_local = isinstance(self._fs, fs.LocalFileSystem)

    def uri_of(self, where: str) -> str:
        """A place in the store for those that take a folder's path or a URI, such as Ray."""
        if self.is_local:
            return f"{self._root}/{where}"
        address, mark, options = self.uri.partition("?")
        return f"{address.rstrip('/')}/{where}{mark}{options}"

    def folder_name(self, stage: str, name: str, digest: str) -> str:
        for part in (stage, name):
            if not NAME.fullmatch(part):
                raise BadInput(f"{part!r} cannot name an artifact: use letters, digits, '.', '_', '+' and '-' only.")
        return f"{stage}/{name}-{digest[:SHORT]}"

    def find(self, stage: str, name: str, digest: str) -> Artifact | None:
        """The artifact if it is whole, else None."""
        where = self.folder_name(stage, name, digest)
        manifest = self.read_json(f"{where}/{MANIFEST}")
        if manifest is None:
            return None
        if manifest["digest"] != digest:
            raise RunFailed(
                f"{self.uri_of(where)}: its manifest holds digest {manifest['digest']}, asked was {digest}."
            )
        return Artifact(stage, name, digest, self._local(where, manifest), where, manifest)

    def make(
        self,
        stage: str,
        name: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        build: Callable[[Draft], Mapping[str, Any]],
    ) -> tuple[Artifact, bool]:
        """The artifact of these settings and inputs, made by `build` if it is missing.

        `build` writes files into the draft and returns the summary for the manifest.

        Returns:
            The artifact, and whether it was there already.
        """
        digest = digest_of(stage, settings=settings, inputs=inputs)
        found = self.find(stage, name, digest)
        if found is not None:
            return found, True
        with self.lock(digest):
            found = self.find(stage, name, digest)  # another process may have made it while we waited
            if found is not None:
                return found, True
            manifest = {"stage": stage, "name": name, "digest": digest, "settings": settings, "inputs": inputs}
            try:
                self._build(self.folder_name(stage, name, digest), manifest, build)
            except RunFailed:
                found = self.find(stage, name, digest)
                if found is None:
                    raise
                return found, True  # on an object store another process was sooner, and cleared the work of both
        made = self.find(stage, name, digest)
        assert made is not None
        return made, False

    def artifacts(self, stage: str) -> list[Artifact]:
        """All whole artifacts of a stage, by name."""
        found: list[Artifact] = []
        for entry in self.children(stage):
            manifest = self.read_json(f"{stage}/{entry}/{MANIFEST}")
            if manifest is not None:
                artifact = self.find(stage, manifest["name"], manifest["digest"])
                if artifact is not None:
                    found.append(artifact)
        return found

    def work(self, digest: str) -> "Work":
        """The folder for checkpoints of the artifact with this digest, until it is whole."""
        return Work(self, f"work/{digest[:SHORT]}")

    @contextmanager
    def lock(self, digest: str) -> Generator[None]:
        """Held by one process at a time on a local or shared disk; a no-op on object stores, where the first that
        publishes wins."""
        if not self.is_local:
            yield
            return
        folder = Path(self._root) / "locks"
        self._make_folder(folder)
        with filelock.FileLock(folder / f"{digest[:SHORT]}.lock"):
            yield

    def children(self, where: str) -> list[str]:
        selector = fs.FileSelector(self._at(where), allow_not_found=True)
        return sorted(info.base_name for info in self._patiently(lambda: self._fs.get_file_info(selector)))

    def exists(self, where: str) -> bool:
        return self._patiently(lambda: self._fs.get_file_info(self._at(where))).type != fs.FileType.NotFound

    def read_json(self, where: str) -> Any:
        """The parsed file, or None if there is none."""
        try:
            return json.loads(self.read_bytes(where))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise RunFailed(
                f"{self.uri_of(where)} is not valid JSON ({error}); remove its folder to make it anew."
            ) from None

    def read_bytes(self, where: str) -> bytes:
        def read() -> bytes:
            with self._fs.open_input_stream(self._at(where)) as stream:
                return stream.read()

        return self._patiently(read)

    def make_folder(self, where: str) -> None:
        """A folder, if it is not there."""
        if self.is_local:
            self._make_folder(self.local_path(where))
            return
        try:
            self._patiently(lambda: self._fs.create_dir(self._at(where), recursive=True))
        except OSError as error:
            raise BadInput(f"store {self.uri!r} cannot be written: {error} ({where}).") from error

    def write_bytes(self, where: str, content: bytes) -> None:
        """Whole or not at all: to a temporary name first, then moved.

        Raises:
            RunFailed: The disk is full, or the place may not be written.
        """
        path = self._at(where)
        temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"

        def write() -> None:
            self._fs.create_dir(path.rsplit("/", 1)[0], recursive=True)
            with self._fs.open_output_stream(temporary) as stream:
                stream.write(content)
            if self.is_local:
                _flush(Path(temporary))
            self._fs.move(temporary, path)

        try:
            self._patiently(write)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._fs.delete_file(temporary)
            raise RunFailed(f"{self.uri_of(where)} could not be written: {error.strerror or error}.") from error

    def write_json(self, where: str, value: Any) -> None:
        self.write_bytes(where, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())

    def remove(self, where: str) -> None:
        """A folder and all in it, if it is there."""
        with contextlib.suppress(FileNotFoundError):  # another process may remove it at the same moment
            if self.exists(where):
                self._patiently(lambda: self._fs.delete_dir(self._at(where)))

    def copy_in(self, folder: Path, where: str) -> None:
        def copy() -> None:
            self._fs.create_dir(self._at(where), recursive=True)
            fs.copy_files(str(folder), self._at(where), destination_filesystem=self._fs)

        self._patiently(copy)

    def copy_out(self, where: str, folder: Path) -> None:
        self._patiently(lambda: fs.copy_files(self._at(where), str(folder), source_filesystem=self._fs))

    def local_path(self, where: str) -> Path:
        """Where a thing lies on a local or mounted disk.

        Raises:
            BadInput: The store is an object store, which has no local paths.
        """
        if not self.is_local:
            raise BadInput(f"{self.uri} is not a local or mounted folder, which is needed for {where!r}.")
        return Path(self._root) / self._inside(where)

    def _build(self, where: str, manifest: dict[str, Any], build: Callable[[Draft], Mapping[str, Any]]) -> None:
        start = time.time()
        drafts = Path(self._root) / "drafts" if self.is_local else Path(tempfile.gettempdir()) / "kdray-drafts"
        self._make_folder(drafts)
        folder = Path(tempfile.mkdtemp(prefix=where.replace("/", "-") + "-", dir=drafts))
        try:
            summary = build(Draft(folder))
            manifest |= {
                "summary": dict(summary),
                "seconds": time.time() - start,
                "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "host": socket.gethostname(),
                "kdray": kdray.__version__,
                "files": _contents(folder),
            }
            self._publish(folder, where, manifest)
        except OSError as error:
            raise RunFailed(f"{self.uri_of(where)} could not be made: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, folder: Path, where: str, manifest: dict[str, Any]) -> None:
        if self.is_local:
            self.remove(where)  # left behind by a killed run: it has no manifest
            _sync(folder)
            folder.chmod(0o755)
            folder.rename(_with_parent(Path(self._at(where))))
        else:
            manifest["folder"] = uuid.uuid4().hex[:8]
            if not self.exists(f"{where}/{MANIFEST}"):
                self.copy_in(folder, f"{where}/{manifest['folder']}")
            if self.exists(f"{where}/{MANIFEST}"):  # another process was sooner, and others may read what it published
                self.remove(f"{where}/{manifest['folder']}")
                return
        self.write_json(f"{where}/{MANIFEST}", manifest)

    def _local(self, where: str, manifest: Mapping[str, Any]) -> Path:
        if self.is_local:
            return Path(self._root) / where
        copies = Path(tempfile.gettempdir()) / "kdray-mirror" / sha256(self.uri.encode()).hexdigest()[:SHORT]
        inner = manifest.get("folder", "")
        mirror = copies / inner / where
        with filelock.FileLock(f"{_with_parent(mirror)}.lock"):
            if not (mirror / MANIFEST).exists():
                partial = mirror.with_name(mirror.name + ".partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                self.copy_out(f"{where}/{inner}".rstrip("/"), partial)
                (partial / MANIFEST).write_text(json.dumps(manifest))
                partial.rename(mirror)
        return mirror

    def _at(self, where: str) -> str:
        return f"{self._root}/{self._inside(where)}"

    def _inside(self, where: str) -> str:
        if ".." in where.split("/"):
            raise BadInput(f"{where!r} leads out of store {self.uri!r}.")
        return where

    def _patiently(self, action: Callable[[], T]) -> T:
        """What `action` returns; it is tried again for `PATIENCE_SECONDS` while an object store refuses connections."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return action()
            except OSError as error:
                if self.is_local or "NETWORK_CONNECTION" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    raise RunFailed(f"{self.uri} does not answer ({error}).") from error
                log.warning("store %s does not answer; it is tried again (%s)", self.uri, error)
                time.sleep(RETRY_SECONDS)

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"store {self.uri!r} cannot be written: {error.strerror} ({folder.name}).") from error


@dataclass(frozen=True)
class Work:
    """Checkpoints of one artifact in the making: `save` replaces the previous one as a whole, `load` reads it back.

    In a bucket several processes may be at it at once: each reads what it or another wrote, whole.
    """

    store: Store
    where: str

    def save(self, files: Mapping[str, bytes]) -> None:
        def write(folder: str) -> None:
            for name, content in files.items():
                self.store.write_bytes(f"{folder}/{name}", content)

        self._replace("latest", write)

    def load(self) -> dict[str, bytes] | None:
        """The files of the last whole checkpoint, or None."""

        def read(folder: str) -> dict[str, bytes]:
            names = self.store.children(folder)
            if not names:
                raise FileNotFoundError(folder)
            return {name: self.store.read_bytes(f"{folder}/{name}") for name in names}

        return self._read("latest", read)

    def save_result(self, folder: Path) -> None:
        """Hand over the files of a finished job, from whichever node it ran on."""
        self._replace("result", lambda where: self.store.copy_in(folder, where))

    def take_result(self, folder: Path) -> None:
        """Copy what `save_result` handed over into `folder`.

        Raises:
            FileNotFoundError: Nothing was handed over, or another process has published and cleared it.
        """

        def read(where: str) -> bool:
            self.store.copy_out(where, folder)
            return True

        if not self._read("result", read):
            raise FileNotFoundError(f"{self.where}/result.json")

    def _replace(self, pointer: str, write: Callable[[str], None]) -> None:
        """Write into a fresh folder, then point `<pointer>.json` at it, then drop the folder of before."""
        previous = self.store.read_json(f"{self.where}/{pointer}.json")
        folder = f"{self.where}/{uuid.uuid4().hex[:8]}"
        write(folder)
        self.store.write_json(f"{self.where}/{pointer}.json", {"folder": folder})
        if previous is not None:
            self.store.remove(previous["folder"])

    def _read(self, pointer: str, read: Callable[[str], T]) -> T | None:
        """What `read` makes of the folder; once more if another process dropped it meanwhile. None: there is none."""
        found = self.store.read_json(f"{self.where}/{pointer}.json")
        while found is not None:
            try:
                return read(found["folder"])
            except FileNotFoundError:
                now = self.store.read_json(f"{self.where}/{pointer}.json")
                if now == found:
                    raise
                found = now
        return None

    def clear(self) -> None:
        self.store.remove(self.where)


def _with_parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _sync(folder: Path) -> None:
    """Force the files to disk, so that a power loss after the manifest cannot leave empty files behind it."""
    for path in folder.rglob("*"):
        if path.is_file():
            _flush(path)


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _contents(folder: Path) -> dict[str, dict[str, Any]]:
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)} for name, file in files.items()}


def _is_as(written: Any, file: Path) -> bool:
    """Whether a file is as its manifest says; those of older stores hold its size alone."""
    if isinstance(written, int):
        return file.stat().st_size == written
    return file.stat().st_size == written["bytes"] and file_sha256(file) == written["sha256"]
