"""The store: artifacts named by the digest of what made them, written once, believed only when whole."""

from kdray.store.artifact import Artifact, Draft
from kdray.store.digest import canonical, digest_of, file_sha256
from kdray.store.paths import NAME, shown
from kdray.store.seal import sealed_bytes, unsealed_bytes, with_seal
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
    "sealed_bytes",
    "shown",
    "unsealed_bytes",
    "with_seal",
]
