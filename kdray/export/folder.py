"""A new folder that appears under its name when it is whole, and not before."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from kdray.errors import ConfigError
from kdray.store.files import sync


@contextmanager
def new_folder(target: Path, shown: str) -> Generator[Path]:
    """A draft beside `target`, which is renamed to it at the end, or removed after an error.

    Args:
        shown: How errors name the target.

    Raises:
        ConfigError: The target exists, or cannot be made.
    """
    if target.exists():
        raise ConfigError(f"{shown}: the folder exists already; give another one.")
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
