"""Drafts: folders in which artifacts are made, each with a note of the process that makes it."""

import json
import logging
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from kdray.errors import ConfigError

if TYPE_CHECKING:
    from kdray.store.store import Store

log = logging.getLogger(__name__)

OWNER = "owner.json"
_OF_DRAFT = re.compile(r".+-[0-9a-f]{12}-[a-z0-9_]+")  # as `new_draft` names them


class Owner(TypedDict):
    """The process that makes a draft; `digest` is the artifact's, whose lock it holds."""

    host: str
    pid: Annotated[int, Field(gt=0, lt=2**22 + 1)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_OWNER: TypeAdapter[Owner] = TypeAdapter(Owner)


@dataclass(frozen=True)
class DraftFolder:
    """`folder` is for the files, `place` for them and the note."""

    place: Path

    @property
    def folder(self) -> Path:
        return self.place / "files"

    def owner(self) -> Owner | None:
        """The note; None if there is none that can be read."""
        with suppress(OSError, ValueError):
            return _OWNER.validate_json((self.place / OWNER).read_bytes())
        return None


def drafts_folder(store: "Store") -> Path:
    """In the store where it is on a disk, so that publishing is a rename; else on this machine."""
    return store.local_path("drafts") if store.is_local else Path(tempfile.gettempdir()) / "kdray-drafts"


def new_draft(drafts: Path, where: str, digest: str) -> DraftFolder:
    """An empty draft of this process for the artifact at `where`.

    Raises:
        ConfigError: The folder cannot be written.
    """
    owner = Owner(host=socket.gethostname(), pid=os.getpid(), digest=digest)
    try:
        drafts.mkdir(parents=True, exist_ok=True)
        draft = DraftFolder(Path(tempfile.mkdtemp(prefix=where.replace("/", "-") + "-", dir=drafts)))
        (draft.place / OWNER).write_text(json.dumps(owner))
        draft.folder.mkdir()
    except OSError as error:
        raise ConfigError(f"folder {drafts} cannot be written: {error.strerror}.") from error
    return draft


def drafts_of(store: "Store") -> Iterator[DraftFolder]:
    """Every draft of a store that is there now. Links, and folders that `new_draft` did not name, are left out."""
    drafts = drafts_folder(store)
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from (
            DraftFolder(place)
            for place in sorted(drafts.iterdir())
            if _OF_DRAFT.fullmatch(place.name) and place.is_dir() and not place.is_symlink()
        )


def remove_if_dead(store: "Store", draft: DraftFolder, *, older_than: float | None, delete: bool) -> str | None:
    """Why a draft is dead, or None if it may be in use. With `delete` it is removed before its lock is given back.

    A draft is dead if the process that made it was of this machine and has ended, or if nothing was written to it for
    `older_than` seconds. In both cases the lock of its artifact must be free.
    """
    owner = draft.owner()
    reason = _death(draft, owner, older_than)
    if reason is None:
        return None
    with store.idle(owner["digest"] if owner else "none") as idle:
        if not idle:
            return None
        if delete:
            shutil.rmtree(draft.place, ignore_errors=True)
        return reason


def clear_dead(store: "Store") -> None:
    """Remove the drafts of processes of this machine that have ended."""
    for draft in drafts_of(store):
        if remove_if_dead(store, draft, older_than=None, delete=True):
            log.info("removed the unfinished folder %s of a command that was killed", draft.place.name)


def _death(draft: DraftFolder, owner: Owner | None, older_than: float | None) -> str | None:
    if owner and owner["host"] == socket.gethostname() and not _is_alive(owner["pid"]):
        return f"its process {owner['pid']} has ended"
    if older_than is not None and (age := time.time() - _last_written(draft.place)) > older_than:
        return f"nothing was written to it for {age / 3600:.0f} hours"
    return None


def _last_written(place: Path) -> float:
    last = place.lstat().st_mtime
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                last = max(last, os.lstat(f"{folder}/{name}").st_mtime)
    return last


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        pass
    return True
