"""Look into a store, verify it and remove what killed commands left in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdray.errors import ConfigError, near_path
from kdray.store import Store
from kdray.store.collect import Leftover, collect, listing, plain, usage, verify
from kdray.store.store import MARK


def existing_store(uri: str) -> Store:
    """A store, or a folder that may be one.

    Raises:
        ConfigError: It does not exist.
    """
    store = Store(uri)
    if not store.exists(""):
        hint = near_path(Path(uri), otherwise="give the folder or URI that the run or sweep used.")
        raise ConfigError(f"store {uri!r} does not exist; {hint}")
    return store


def open_store(uri: str) -> Store:
    """A store that exists.

    Raises:
        ConfigError: It does not exist, or the folder is no store.
    """
    store = existing_store(uri)
    if not store.is_store():
        raise ConfigError(
            f"{uri!r} is no store: it has neither {MARK} nor an artifact with a whole manifest; give the folder or URI "
            "that the run or sweep used."
        )
    return store


def list_artifacts(store: str) -> dict[str, Any]:
    """Under `artifacts` stage, name, digest, size, age and users of each; under `faults` what could not be read.

    Raises:
        ConfigError: As `open_store`.
    """
    listed, faults = listing(open_store(store))
    return {"artifacts": [plain(each) for each in listed], "faults": faults}


def measure_store(store: str) -> dict[str, int]:
    """Bytes by stage.

    Raises:
        ConfigError: As `open_store`.
    """
    return usage(open_store(store))


def verify_store(store: str) -> Iterator[str]:
    """Compare every file with its digest; one sentence for each that is damaged.

    Raises:
        ConfigError: As `open_store`.
    """
    return verify(open_store(store))


def clean_store(store: str, *, delete: bool = False, older_than: float | None = None) -> list[Leftover]:
    """What killed and finished commands left over; removed with `delete`.

    Args:
        older_than: Hours without a change after which something counts as abandoned; None is 24, in a bucket 168.

    Raises:
        ConfigError: As `open_store`, or the age is negative or no number.
    """
    if older_than is not None and not 0 <= older_than < 1e6:
        raise ConfigError(f"--older-than {older_than:g}: give hours, 0 or more.")
    return collect(open_store(store), older_than=older_than, delete=delete)
