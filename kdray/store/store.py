"""A store is a `pyarrow.fs` URI: a folder by default, `s3://`, `gs://` or a mounted share on a cluster.

Layout: `<stage>/<name>-<digest12>/{files..., manifest.json}` for artifacts, `work/<digest12>/` for the checkpoints of
what is still being made. `manifest.json` is written last; without it the artifact does not exist.
"""

import contextlib
import json
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
from pathlib import Path
from typing import Any

import filelock
from pyarrow import fs

from kdray.errors import BadInput, RunFailed
from kdray.store.digest import digest_of

MANIFEST = "manifest.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
SHORT = 12  # characters of the digest in a folder's name; the whole digest is in the manifest


@dataclass(frozen=True)
class Artifact:
    """Something whole in a store. `folder` is a local folder to read from; `where` is its place in the store."""

    stage: str
    name: str
    digest: str
    folder: Path
    where: str
    manifest: Mapping[str, Any]

    @property
    def summary(self) -> Mapping[str, Any]:
        """What the stage said of it when it was made (rows, seconds, scores)."""
        return self.manifest["summary"]

    def file(self, name: str) -> Path:
        return self.folder / name


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
        try:
            self._fs, self._root = fs.FileSystem.from_uri(uri if "://" in uri else str(Path(uri).absolute()))
        except (ValueError, OSError) as error:
            raise BadInput(f"store {uri!r} is not a folder or a URI that pyarrow knows: {error}") from error
        self.is_local = isinstance(self._fs, fs.LocalFileSystem)

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
            raise RunFailed(f"{self.uri}/{where}: its manifest holds digest {manifest['digest']}, asked was {digest}.")
        return Artifact(stage, name, digest, self._local(where), where, manifest)

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
            self._build(self.folder_name(stage, name, digest), manifest, build)
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
        """Held by one process at a time on a local or shared disk; a no-op on object stores (publishing is atomic)."""
        if not self.is_local:
            yield
            return
        folder = Path(self._root) / "locks"
        self._make_folder(folder)
        with filelock.FileLock(folder / f"{digest[:SHORT]}.lock"):
            yield

    def children(self, where: str) -> list[str]:
        selector = fs.FileSelector(f"{self._root}/{where}", allow_not_found=True)
        return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def exists(self, where: str) -> bool:
        return self._fs.get_file_info(f"{self._root}/{where}").type != fs.FileType.NotFound

    def read_json(self, where: str) -> Any:
        """The parsed file, or None if there is none."""
        path = f"{self._root}/{where}"
        if self._fs.get_file_info(path).type == fs.FileType.NotFound:
            return None
        with self._fs.open_input_stream(path) as stream:
            text = stream.read()
        try:
            return json.loads(text)
        except ValueError as error:
            raise RunFailed(
                f"{self.uri}/{where} is not valid JSON ({error}); remove its folder to make it anew."
            ) from None

    def read_bytes(self, where: str) -> bytes:
        with self._fs.open_input_stream(f"{self._root}/{where}") as stream:
            return stream.read()

    def write_bytes(self, where: str, content: bytes) -> None:
        """Whole or not at all: to a temporary name first, then moved."""
        path = f"{self._root}/{where}"
        self._fs.create_dir(path.rsplit("/", 1)[0], recursive=True)
        temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
        with self._fs.open_output_stream(temporary) as stream:
            stream.write(content)
        self._fs.move(temporary, path)

    def write_json(self, where: str, value: Any) -> None:
        self.write_bytes(where, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())

    def local_path(self, where: str) -> Path:
        """Where a thing lies on a local or mounted disk.

        Raises:
            BadInput: The store is an object store, which has no local paths.
        """
        if not self.is_local:
            raise BadInput(f"{self.uri} is not a local or mounted folder, which is needed for {where!r}.")
        return Path(self._root) / where

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
                "files": _sizes(folder),
            }
            self._publish(folder, where, manifest)
        except OSError as error:
            raise RunFailed(f"{self.uri}/{where} could not be written: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, folder: Path, where: str, manifest: dict[str, Any]) -> None:
        target = f"{self._root}/{where}"
        if self._fs.get_file_info(target).type != fs.FileType.NotFound:
            self._fs.delete_dir(target)  # left behind by a killed run: it has no manifest
        self._fs.create_dir(target.rsplit("/", 1)[0], recursive=True)
        if self.is_local:
            _sync(folder)
            folder.chmod(0o755)
            folder.rename(target)
        else:
            fs.copy_files(str(folder), target, destination_filesystem=self._fs)
        self.write_json(f"{where}/{MANIFEST}", manifest)

    def _local(self, where: str) -> Path:
        if self.is_local:
            return Path(self._root) / where
        mirror = Path(tempfile.gettempdir()) / "kdray-mirror" / where
        with filelock.FileLock(f"{_parent(mirror)}.lock"):
            if not (mirror / MANIFEST).exists():
                partial = mirror.with_name(mirror.name + ".partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                fs.copy_files(f"{self._root}/{where}", str(partial), source_filesystem=self._fs)
                partial.rename(mirror)
        return mirror

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"store {self.uri!r} cannot be written: {error.strerror} ({folder.name}).") from error


@dataclass(frozen=True)
class Work:
    """Checkpoints of one artifact in the making: `save` replaces the previous one as a whole, `load` reads it back."""

    store: Store
    where: str

    def save(self, files: Mapping[str, bytes]) -> None:
        """Write all files into a fresh folder, then point `latest.json` at it, then drop the previous folder."""
        previous = self.store.read_json(f"{self.where}/latest.json")
        folder = f"{self.where}/{uuid.uuid4().hex[:8]}"
        for name, content in files.items():
            self.store.write_bytes(f"{folder}/{name}", content)
        self.store.write_json(f"{self.where}/latest.json", {"folder": folder})
        if previous is not None:
            self._remove(previous["folder"])

    def load(self) -> dict[str, bytes] | None:
        """The files of the last whole checkpoint, or None."""
        latest = self.store.read_json(f"{self.where}/latest.json")
        if latest is None:
            return None
        return {
            name: self.store.read_bytes(f"{latest['folder']}/{name}") for name in self.store.children(latest["folder"])
        }

    def save_result(self, folder: Path) -> None:
        """Hand over the files of a finished job, from whichever node it ran on."""
        self._remove_if_there(f"{self.where}/result")
        fs.copy_files(str(folder), f"{self._at()}/result", destination_filesystem=self.store._fs)  # pyright: ignore[reportPrivateUsage]

    def take_result(self, folder: Path) -> None:
        """Copy what `save_result` handed over into `folder`."""
        fs.copy_files(f"{self._at()}/result", str(folder), source_filesystem=self.store._fs)  # pyright: ignore[reportPrivateUsage]

    def clear(self) -> None:
        self._remove_if_there(self.where)

    def _at(self) -> str:
        return f"{self.store._root}/{self.where}"  # pyright: ignore[reportPrivateUsage]

    def _remove_if_there(self, where: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # another process may clear it at the same moment
            self._remove(where)

    def _remove(self, where: str) -> None:
        self.store._fs.delete_dir(f"{self.store._root}/{where}")  # pyright: ignore[reportPrivateUsage]


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _sync(folder: Path) -> None:
    """Force the files to disk, so that a power loss after the manifest cannot leave empty files behind it."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _sizes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
