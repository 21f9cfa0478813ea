"""The store: artifacts named by the digest of what made them, written once, believed only when whole."""

from kdray.store.artifact import Artifact, Draft
from kdray.store.checksum import prepend_checksum, strip_checksum, with_checksum
from kdray.store.digest import canonical, digest_of, file_sha256
from kdray.store.paths import NAME, shown
from kdray.store.store import Store
from kdray.store.work import WorkFolder

__all__ = [
    "NAME",
    "Artifact",
    "Draft",
    "Store",
    "WorkFolder",
    "canonical",
    "digest_of",
    "file_sha256",
    "prepend_checksum",
    "shown",
    "strip_checksum",
    "with_checksum",
]
