"""Work folders: what a computation leaves so that a later try resumes it, with checksums as artifacts have."""

import logging
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from kdray.errors import RunError
from kdray.store.checksum import with_checksum
from kdray.store.digest import file_sha256
from kdray.store.files import Files
from kdray.store.manifest import FileRecord, checked_records, damage

log = logging.getLogger(__name__)

CHECKSUM_FILE = "checksums.json"
T = TypeVar("T")


@dataclass(frozen=True)
class WorkFolder:
    """Checkpoints of one artifact in the making.

    Each save has a folder of its own, `<kind>-<number>-<random>`, and is complete once its `checksums.json` is there,
    with the hash of every file. The save before the last one is kept, for the case that the last one is damaged. In a
    bucket several processes may use the folder at once: each reads what it or another wrote, whole.
    """

    store: Files
    where: str

    def save(self, files: Mapping[str, bytes]) -> None:
        def write(folder: str) -> dict[str, FileRecord]:
            for name, content in files.items():
                self.store.write_bytes(f"{folder}/{name}", content)
            return {name: _record(content) for name, content in files.items()}

        self._add("latest", write)

    def load(self) -> dict[str, bytes] | None:
        """The files of the last checkpoint that is whole, or None."""

        def read(folder: str, records: Mapping[str, FileRecord]) -> dict[str, bytes] | None:
            files = {name: self.store.read_bytes(f"{folder}/{name}") for name in records}
            return files if all(_record(content) == records[name] for name, content in files.items()) else None

        return self._last_whole("latest", read)

    def save_result(self, folder: Path) -> None:
        """Hand over the files of a finished job, from the node that it ran on."""

        def write(where: str) -> dict[str, FileRecord]:
            self.store.copy_in(folder, where)
            files = (path for path in sorted(folder.rglob("*")) if path.is_file())
            return {
                str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
                for path in files
            }

        self._add("result", write)

    def take_result(self, folder: Path) -> None:
        """Copy what `save_result` handed over into `folder`.

        Raises:
            FileNotFoundError: Nothing was handed over, or another process has published and cleared it.
            RunError: It is damaged.
        """

        def read(where: str, records: Mapping[str, FileRecord]) -> bool | None:
            if any(damage(self.store, where, records, ignored=frozenset({CHECKSUM_FILE}))):
                return None
            self.store.copy_out(where, records, folder)
            return not any(damage(Files(str(folder)), "", records, ignored=frozenset())) or None

        before = self._folders("result")
        if not self._last_whole("result", read):
            if before:
                raise RunError(f"{self.store.uri_of(self.where)} is damaged; run the same command again.")
            raise FileNotFoundError(f"{self.where}/result")

    def clear(self) -> None:
        self.store.remove(self.where)

    def damaged(self) -> list[str]:
        """The complete folders that are not as they were written."""
        return [
            folder for kind in ("latest", "result") for folder in self._complete(kind) if not self._is_whole(folder)
        ]

    def _add(self, kind: str, write: Callable[[str], Mapping[str, FileRecord]]) -> None:
        """Write into a new folder, add its checksums, and drop all but it and the last complete one before it."""
        there = self._folders(kind)
        complete = self._complete(kind)
        if complete:
            for folder in there[: there.index(complete[-1])]:
                self.store.remove(folder)
        number = _number(there[-1]) + 1 if there else 1
        folder = f"{self.where}/{kind}-{number:08d}-{uuid.uuid4().hex[:8]}"
        self.store.write_json(f"{folder}/{CHECKSUM_FILE}", with_checksum({"files": dict(write(folder))}))

    def _last_whole(self, kind: str, read: Callable[[str, Mapping[str, FileRecord]], T | None]) -> T | None:
        """What `read` makes of the last folder that is whole; None if there is none.

        While it reads, another process may drop the folder, and then there is a newer one.
        """
        tried: set[str] = set()
        while left := [folder for folder in self._complete(kind) if folder not in tried]:
            folder, found = left[-1], None
            tried.add(folder)
            with suppress(FileNotFoundError):
                records = self._records(folder)
                found = None if records is None else read(folder, records)
            if found is not None:
                return found
            if self._is_complete(folder):  # else another process has dropped it
                what = "the one before it is used" if left[:-1] else "there is no other, so the work starts over"
                log.warning("%s is damaged and is removed; %s", self.store.uri_of(folder), what)
                self.store.remove(folder)
        return None

    def _folders(self, kind: str) -> list[str]:
        """The folders of a kind, the oldest first."""
        names = [name for name in self.store.children(self.where) if _is_save(name, kind)]
        return [f"{self.where}/{name}" for name in names]

    def _complete(self, kind: str) -> list[str]:
        return [folder for folder in self._folders(kind) if self._is_complete(folder)]

    def _is_complete(self, folder: str) -> bool:
        return self.store.exists(f"{folder}/{CHECKSUM_FILE}")

    def _records(self, folder: str) -> Mapping[str, FileRecord] | None:
        try:
            return checked_records(self.store.read_json(f"{folder}/{CHECKSUM_FILE}"))
        except RunError:  # not even JSON
            return None

    def _is_whole(self, folder: str) -> bool:
        records = self._records(folder)
        return records is not None and not any(damage(self.store, folder, records, ignored=frozenset({CHECKSUM_FILE})))


def _record(content: bytes) -> FileRecord:
    return {"bytes": len(content), "sha256": sha256(content).hexdigest()}


def _is_save(name: str, kind: str) -> bool:
    start, _, rest = name.partition("-")
    number, _, random = rest.partition("-")
    return start == kind and len(number) == 8 and number.isdigit() and number.isascii() and len(random) == 8


def _number(folder: str) -> int:
    return int(folder.rsplit("/", 1)[-1].split("-")[1])
