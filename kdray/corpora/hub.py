"""Named tasks in the Hugging Face cache and on the hub. `datasets` is slow to import, so only what uses it does."""

import difflib
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from kdray.corpora.tasks import TASKS, HubSource
from kdray.errors import ConfigError
from kdray.hub import fault

log = logging.getLogger(__name__)


def load_cached(source: HubSource) -> dict[str, pa.Table] | None:
    """The splits from the cache of `datasets`, without network access; None if they are not cached."""
    found = _cached(source)
    return None if found is None else _tables(found)


def _cached(source: HubSource) -> Any:
    try:
        from datasets.packaged_modules.cache.cache import Cache
    except ModuleNotFoundError:  # the light installation: no `datasets`, no cache of it
        return None

    try:
        builder = Cache(
            dataset_name=source.repo.split("/")[-1],
            repo_id=source.repo,
            config_name=source.config,
            version="auto",
            hash="auto",
        )
        return builder.as_dataset()
    except (ValueError, OSError) as error:
        # `datasets` raises ValueError for "not cached"; a damaged entry is downloaded again or reported by the hub
        log.debug("no cached %s: %s", source, error)
        return None


def is_reachable(source: HubSource) -> bool:
    """Whether the hub has this repository."""
    reason = fault(source.repo, "dataset")
    log.debug("%s: %s", source, reason or "it is on the hub")
    return reason is None


def download(source: HubSource) -> dict[str, pa.Table]:
    """The splits from the hub.

    Raises:
        ConfigError: the download failed.
    """
    return _tables(_downloaded(source))


def from_hub(source: HubSource) -> Any:
    """The `DatasetDict` of any data set: of the hub, or of the cache where the hub does not give it; or of a folder.

    Raises:
        ConfigError: it is in none of these, or cannot be read.
    """
    reason = None if Path(source.repo).is_dir() else fault(source.repo, "dataset")
    if reason is None:
        return _downloaded(source)
    if (found := _cached(source)) is not None:
        log.warning("%s: %s; the rows are those of the Hugging Face cache", source.repo, reason)
        return found
    near = difflib.get_close_matches(source.repo.rpartition("/")[2], TASKS, n=1)
    named = f'did you mean kd.Dataset.load("{near[0]}")? Otherwise ' if near else ""
    raise ConfigError(
        f"dataset {source.repo!r} was not found: it is not in the Hugging Face cache, and {reason}; {named}check the "
        "name and the network, or read files by kd.Dataset.from_files."
    )


def _downloaded(source: HubSource) -> Any:
    import datasets

    try:
        return datasets.load_dataset(source.repo, source.config)
    except Exception as error:  # as above, and many kinds of broken download
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{source.repo} could not be loaded from the Hugging Face hub: {reason}.") from error


def _tables(loaded: object) -> dict[str, pa.Table]:
    from datasets import DatasetDict

    assert isinstance(loaded, DatasetDict)
    return {str(split): rows.with_format("arrow")[:] for split, rows in loaded.items()}
