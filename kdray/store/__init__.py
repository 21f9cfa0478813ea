"""The store: artifacts named by the digest of what made them, written once, believed only when whole."""

from kdray.store.digest import canonical, digest_of, file_sha256
from kdray.store.store import NAME, Artifact, Draft, Store, Work

__all__ = ["NAME", "Artifact", "Draft", "Store", "Work", "canonical", "digest_of", "file_sha256"]
