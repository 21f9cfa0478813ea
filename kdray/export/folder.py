"""A new folder that appears under its name when it is whole, and not before."""

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


@contextmanager
def new_folder(target: Path, shown: str) -> Generator[Path]:
    """A draft next to `target`, which is renamed to it at the end, or removed after an error.

    Args:
        shown: How errors name the target.

    Raises:
        ConfigError: The target exists, cannot be made, or lies within an artifact of a store or a model.
    """
    if target.exists():
        raise ConfigError(f"{shown}: the folder exists already; give another one.")
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
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _whole(folder: Path) -> str | None:
    """What a folder is that holds an artifact, a model or a bundle, and so must stay as it is."""
    with suppress(OSError, ValueError, RecursionError):
        if has_right_checksum(json.loads((folder / MANIFEST).read_bytes())):
            return "an artifact of a store"
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        return "the folder of a model"
    return "a bundle" if (folder / "bundle.json").is_file() and any(folder.glob("*.onnx")) else None
