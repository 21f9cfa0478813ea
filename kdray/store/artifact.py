"""Artifacts that are whole, and drafts of those in the making."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdray.errors import RunError
from kdray.store.files import Files
from kdray.store.manifest import MANIFEST, Manifest, damage

_intact: set[tuple[Path, str]] = set()  # folders whose files this process has compared, with the manifest's checksum


@dataclass(frozen=True)
class Artifact:
    """Something whole in a store; `where` is its place there, `path` the local folder for its files.

    Attributes:
        fetch: Brings the files of an artifact in a bucket to `path`.
    """

    stage: str
    name: str
    digest: str
    path: Path
    where: str
    manifest: Manifest
    fetch: Callable[[], None] = field(compare=False, repr=False)

    @property
    def folder(self) -> Path:
        """`path`, to read from: the first time in a process every file is compared with what was written.

        Raises:
            RunError: A file is missing, has other contents, or was added.
        """
        key = (self.path, self.manifest["seal"])
        if key not in _intact:
            self.fetch()
            for name, why in damage(Files(str(self.path)), "", self.manifest["files"], ignored=frozenset({MANIFEST})):
                raise RunError(
                    f"{self.path / name} is not what was written there: {why}; remove {self.path} to make it again."
                )
            _intact.add(key)
        return self.path

    @property
    def summary(self) -> dict[str, Any]:
        """What the stage wrote about it when it was made (rows, seconds, scores)."""
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
