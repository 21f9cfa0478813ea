"""Files below a `pyarrow.fs` URI, read and written by paths that cannot lead out of it."""

import contextlib
import json
import logging
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pyarrow import fs

from kdray.errors import ConfigError, RunError
from kdray.retries import retry
from kdray.secrets import without_passwords
from kdray.store.paths import fault_of_path, fault_on_disk, shown

log = logging.getLogger(__name__)

BLOCK = 1 << 20
LONGEST_JSON = 1 << 28  # bytes
STREAMS = 8  # files that are copied out at once
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One file; `changed` in Unix seconds. Odd ones are links, devices, pipes and sockets."""

    where: str
    bytes: int
    changed: float
    is_odd: bool = False


class Files:
    """A folder, `s3://`, `gs://` or a mounted share on a cluster.

    Attributes:
        uri: The same place for every process of this machine; of a folder the absolute path.
        given: As the caller wrote it, for messages.
    """

    def __init__(self, uri: str) -> None:
        if without_passwords(uri) != uri:
            raise ConfigError(
                f"store {without_passwords(uri)!r} holds a secret, which would be written down with the settings; "
                "give it as the cloud expects it (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a role, a profile)."
            )
        if not uri.strip() or not uri.isprintable():
            raise ConfigError(f"store {shown(uri)} is empty or holds a control character; give a folder or a URI.")
        self.given = uri
        try:
            if "://" in uri:
                self._fs, self._root = fs.FileSystem.from_uri(uri)
                self.uri = uri
            else:
                self._fs, self._root = fs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
                self.uri = self._root  # workers have another working folder than this process
        except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: ~ without a home folder
            raise ConfigError(f"store {uri!r} is not a folder or a URI that pyarrow can open: {error}") from error
        self.is_local = isinstance(self._fs, fs.LocalFileSystem)
        if self.is_local and os.path.lexists(self._root) and not Path(self._root).is_dir():
            raise ConfigError(f"store {uri!r} is a file or a broken link; give a folder or a URI.")

    def uri_of(self, where: str) -> str:
        """A place in the store for those that take a folder's path or a URI, such as Ray."""
        if self.is_local:
            return f"{self._root}/{where}"
        address, mark, options = self.uri.partition("?")
        return f"{address.rstrip('/')}/{where}{mark}{options}"

    def children(self, where: str) -> list[str]:
        """The names right below a folder; none if it is not there, or is a file."""
        place = self._at(where)
        if self.is_local:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return sorted(path.name for path in Path(place).iterdir())
            return []
        selector = fs.FileSelector(place, allow_not_found=True)
        return sorted(
            info.base_name for info in self._retry_while_unavailable(lambda: self._fs.get_file_info(selector))
        )

    def walk(self, where: str) -> Iterator[Entry]:
        """All files below a folder. Links are not followed."""
        place = self._at(where)
        start = len(self._root.rstrip("/")) + 1
        if self.is_local:
            yield from (_entry(path, path[start:]) for path in _files_below(place))
            return
        selector = fs.FileSelector(place, recursive=True, allow_not_found=True)
        for info in self._retry_while_unavailable(lambda: self._fs.get_file_info(selector)):
            if info.type != fs.FileType.Directory:
                yield Entry(info.path[start:], info.size or 0, (info.mtime_ns or 0) / 1e9)

    def exists(self, where: str) -> bool:
        place = self._at(where)
        return self._retry_while_unavailable(lambda: self._fs.get_file_info(place)).type != fs.FileType.NotFound

    def read_json(self, where: str) -> Any:
        """The parsed file, or None if there is none."""
        try:
            return json.loads(self.read_bytes(where, most=LONGEST_JSON))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, RecursionError) as error:
            raise RunError(
                f"{self.uri_of(where)} is not valid JSON ({error}); remove its folder to make it again."
            ) from None

    def read_bytes(self, where: str, *, most: int | None = None) -> bytes:
        """The content of a file.

        Raises:
            RunError: It has more than `most` bytes.
        """
        place = self._at(where)

        def read() -> bytes:
            with self._fs.open_input_stream(place) as stream:
                return stream.read(None if most is None else most + 1)

        content = self._retry_while_unavailable(read)
        if most is not None and len(content) > most:
            raise RunError(f"{self.uri_of(where)} has more than {most:,} bytes, which is too much to be read.")
        return content

    def sha256(self, where: str) -> str:
        """The sha256 (hex) of a file's contents."""
        place = self._at(where)

        def read() -> str:
            total = sha256()
            with self._fs.open_input_stream(place) as content:
                while block := content.read(BLOCK):
                    total.update(block)
            return total.hexdigest()

        return self._retry_while_unavailable(read)

    def make_folder(self, where: str) -> None:
        """A folder, if it is not there."""
        place = self._at(where)
        try:
            if self.is_local:
                Path(place).mkdir(parents=True, exist_ok=True)
            else:
                self._retry_while_unavailable(lambda: self._fs.create_dir(place, recursive=True))
        except OSError as error:
            raise ConfigError(
                f"store {self.given!r} cannot be written: {error.strerror or error} ({where})."
            ) from error

    def write_bytes(self, where: str, content: bytes) -> None:
        """Whole or not at all: to a temporary name first, then moved.

        Raises:
            RunError: The disk is full, or the place may not be written.
        """
        path = self._at(where)
        temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"

        def write() -> None:
            self._fs.create_dir(path.rsplit("/", 1)[0], recursive=True)
            with self._fs.open_output_stream(temporary) as stream:
                stream.write(content)
            if self.is_local:
                flush(Path(temporary))
            self._fs.move(temporary, path)

        try:
            self._retry_while_unavailable(write)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._fs.delete_file(temporary)
            raise RunError(f"{self.uri_of(where)} could not be written: {error.strerror or error}.") from error

    def write_json(self, where: str, value: Any) -> None:
        self.write_bytes(where, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())

    def remove(self, where: str) -> None:
        """A file, or a folder and all in it, if it is there. Links in it are removed, not followed."""
        place = self._at(where)
        with contextlib.suppress(FileNotFoundError):  # another process may remove it at the same moment
            if not self.is_local:
                self._remove_object(place)
            elif Path(place).is_dir() and not Path(place).is_symlink():
                shutil.rmtree(place)
            else:
                Path(place).unlink()

    def copy_in(self, folder: Path, where: str) -> None:
        """Copy a local folder and all in it."""
        place = self._at(where)

        def copy() -> None:
            self._fs.create_dir(place, recursive=True)
            fs.copy_files(str(folder), place, destination_filesystem=self._fs)

        self._retry_while_unavailable(copy)

    def copy_out(self, where: str, names: Collection[str], folder: Path) -> None:
        """Copy these files below `where` into a local folder.

        Args:
            names: Relative paths, checked as every other path is.
        """

        def copy(name: str) -> None:
            place, target = self._at(f"{where}/{name}"), folder / name
            target.parent.mkdir(parents=True, exist_ok=True)

            def read() -> None:
                with self._fs.open_input_stream(place) as source, target.open("wb") as copied:
                    while block := source.read(BLOCK):
                        copied.write(block)

            self._retry_while_unavailable(read)

        for name in names:
            self._inside(f"{where}/{name}")  # all of them, before the first is written
        with ThreadPoolExecutor(STREAMS) as pool:
            list(pool.map(copy, names))

    def local_path(self, where: str) -> Path:
        """Where a thing lies on a local or mounted disk.

        Raises:
            ConfigError: The store is an object store, which has no local paths.
        """
        if not self.is_local:
            raise ConfigError(f"{self.uri} is not a local or mounted folder, which is needed for {where!r}.")
        return Path(self._at(where))

    def _at(self, where: str) -> str:
        """The path for pyarrow, once it is proven to stay inside."""
        return f"{self._root.rstrip('/')}/{self._inside(where)}".rstrip("/")

    def _inside(self, where: str) -> str:
        fault = fault_of_path(where) if where else None
        if fault is None and self.is_local:
            fault = fault_on_disk(self._root, where)
        if fault:
            raise ConfigError(f"{shown(where)} leads out of store {self.given!r} or cannot be used there: {fault}.")
        return where

    def _remove_object(self, place: str) -> None:
        kind = self._retry_while_unavailable(lambda: self._fs.get_file_info(place)).type
        if kind == fs.FileType.Directory:
            self._retry_while_unavailable(lambda: self._fs.delete_dir(place))
        elif kind == fs.FileType.File:
            self._retry_while_unavailable(lambda: self._fs.delete_file(place))

    def _retry_while_unavailable(self, action: Callable[[], T]) -> T:
        """The result of `action`; it is repeated while an object store refuses connections."""

        def is_refused(error: Exception) -> bool:
            return isinstance(error, OSError) and not self.is_local and "NETWORK_CONNECTION" in str(error)

        def tell(error: Exception) -> None:
            log.warning("store %s does not answer; it is tried again (%s)", self.uri, error)

        try:
            return retry(action, is_refused, waits=tell)
        except OSError as error:
            if is_refused(error):
                raise RunError(f"{self.uri} does not answer ({error}).") from error
            raise


def sync(folder: Path) -> None:
    """Force the files to disk, so that a power loss after the manifest cannot leave empty files behind it."""
    for path in folder.rglob("*"):
        if path.is_file():
            flush(path)


def flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_below(place: str) -> Generator[str]:
    for folder, folders, files in os.walk(place):
        yield from (f"{folder}/{name}" for name in files)
        yield from (f"{folder}/{name}" for name in folders if Path(folder, name).is_symlink())


def _entry(path: str, where: str) -> Entry:
    try:
        facts = os.lstat(path)
    except FileNotFoundError:  # removed since it was listed
        return Entry(where, 0, 0.0)
    return Entry(where, facts.st_size, facts.st_mtime, is_odd=not stat.S_ISREG(facts.st_mode))
