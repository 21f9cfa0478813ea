"""The one place where paths are checked: no path, wherever it comes from, leads out of a store."""

import os
import re
import stat
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
LONGEST_NAME, LONGEST_PATH = 255, 1024  # bytes: of a name in most file systems, of a key in S3
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def fault_of_path(path: str) -> str | None:
    """Why `path` is not a place below a store (a relative path of plain names with `/` between), or None."""
    if path.startswith("/"):
        return "it is absolute"
    if _CONTROL.search(path):
        return "it holds a control character"
    if "\\" in path:
        return "it holds a backslash"
    parts = path.split("/")
    if ".." in parts:
        return "it holds '..'"
    if "" in parts or "." in parts:
        return "it holds an empty name or '.'"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    if max(sizes) > LONGEST_NAME or sum(sizes) + len(sizes) - 1 > LONGEST_PATH:
        return f"it is longer than {LONGEST_NAME} bytes a name or {LONGEST_PATH} in all"
    return None


def fault_on_disk(root: str, path: str) -> str | None:
    """Why what lies at `path` below the folder `root` is not to be used, or None: a link that leads out, a device."""
    top, place = os.path.realpath(root), os.path.realpath(f"{root}/{path}")
    if os.path.commonpath([top, place]) != top:
        return f"a link leads to {place}"
    try:
        mode = Path(place).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.strerror
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "it is a device, a pipe or a socket"


def shown(path: str) -> str:
    """For a sentence: quoted, escaped, and not longer than a line."""
    return ascii(path if len(path) <= 100 else f"{path[:80]}... ({len(path)} characters)")
