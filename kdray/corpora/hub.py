"""Named tasks in the Hugging Face cache and on the hub. `datasets` is slow to import, so only what uses it does."""

import logging

import pyarrow as pa

from kdray.corpora.tasks import HubSource
from kdray.errors import ConfigError

_PROBE_SECONDS = 5.0

log = logging.getLogger(__name__)


def load_cached(source: HubSource) -> dict[str, pa.Table] | None:
    """The splits from the cache of `datasets`, without network access; None if they are not cached."""
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
        return _tables(builder.as_dataset())
    except (ValueError, OSError) as error:
        # `datasets` raises ValueError for "not cached"; a damaged entry is downloaded again or reported by the hub
        log.debug("no cached %s: %s", source, error)
        return None


def is_reachable(source: HubSource) -> bool:
    """Whether the hub has this repository. One request: `load_dataset` itself retries for 23 s when offline."""
    from huggingface_hub import HfApi

    try:
        HfApi().repo_info(source.repo, repo_type="dataset", timeout=_PROBE_SECONDS)
    except Exception as error:  # the client's network errors changed their classes more than once
        log.debug("hub unreachable for %s: %s", source, error)
        return False
    return True


def download(source: HubSource) -> dict[str, pa.Table]:
    """The splits from the hub.

    Raises:
        ConfigError: the download failed.
    """
    import datasets

    try:
        return _tables(datasets.load_dataset(source.repo, source.config))
    except Exception as error:  # as above, and many kinds of broken download
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{source.repo} could not be loaded from the Hugging Face hub: {reason}.") from error


def _tables(loaded: object) -> dict[str, pa.Table]:
    from datasets import DatasetDict

    assert isinstance(loaded, DatasetDict)
    return {str(split): rows.with_format("arrow")[:] for split, rows in loaded.items()}
