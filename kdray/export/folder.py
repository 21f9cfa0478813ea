"""A folder that appears under its name when it is whole, and not before."""

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdray.errors import ConfigError
from kdray.store.checksum import has_right_checksum
from kdray.store.files import sync
from kdray.store.manifest import MANIFEST

# All that a saved model or a bundle can have, beside what Python caches of a bundle's scripts
ENDINGS = (".json", ".safetensors", ".txt", ".model", ".jinja", ".md", ".onnx", ".py", "Dockerfile", "__pycache__")


@contextmanager
def new_folder(target: Path, shown: str, *, mark: str = "", overwrite: bool = False) -> Generator[Path]:
    """A draft next to `target`, which is renamed to it at the end, or removed after an error.

    Args:
        shown: How errors name the target.
        mark: A file that all folders of this kind have.
        overwrite: Replace a folder of this kind, once the draft is whole.

    Raises:
        ConfigError: The target exists, cannot be made, or lies within an artifact of a store or a model; or it is to be
            replaced, but holds something else.
    """
    if os.path.lexists(target):
        if not overwrite:
            raise ConfigError(
                f"{shown}: the folder exists already; give another one, or replace it by --overwrite "
                "(in Python overwrite=True)."
            )
        if reason := _other_than(mark, target):
            raise ConfigError(f"{shown}: the folder is not replaced, because {reason}; give another one.")
    for folder in target.expanduser().resolve().parents:
        if what := _whole(folder):
            raise ConfigError(f"{shown}: {folder} is {what}, to which no file may be added; give a folder outside it.")
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{shown}: the folder cannot be made ({error.strerror}); give another one.") from error
    try:
        yield draft
        sync(draft)
        _rename(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _other_than(mark: str, folder: Path) -> str | None:
    """What a folder has or lacks that is not so in a saved model or a bundle with the file `mark`."""
    if folder.is_symlink() or not folder.is_dir():
        return "it is a link" if folder.is_symlink() else "it is a file"
    if not (folder / mark).is_file():
        return f"it has no {mark}"
    others = sorted(each.name for each in folder.iterdir() if not each.name.endswith(ENDINGS))
    return f"it also holds {others[0]}" if others else None


def _rename(draft: Path, target: Path) -> None:
    """Give the draft its name; the folder of this name, if there is one, is moved away first and then removed."""
    if not target.exists():
        draft.rename(target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _whole(folder: Path) -> str | None:
    """What a folder is that holds an artifact, a model or a bundle, and so must stay as it is."""
    with suppress(OSError, ValueError, RecursionError):
        if has_right_checksum(json.loads((folder / MANIFEST).read_bytes())):
            return "an artifact of a store"
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        return "the folder of a model"
    return "a bundle" if (folder / "bundle.json").is_file() and any(folder.glob("*.onnx")) else None
