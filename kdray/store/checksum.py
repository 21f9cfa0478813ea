"""Checksums over everything that a document or a file holds, so that nothing damaged is ever used."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

from kdray.store.digest import canonical

KEY = "seal"  # of the checksum in a document; stores on disk have it
_SIZE = sha256().digest_size


def checksum_of(document: Mapping[str, Any]) -> str:
    """The sha256 (hex) of the canonical JSON of all keys and values but the checksum itself.

    Raises:
        ValueError: The document holds a NaN or an infinity, which JSON lacks, or a lone surrogate, which UTF-8 lacks.
    """
    plain = json.loads(json.dumps({key: value for key, value in document.items() if key != KEY}))
    return sha256(canonical(plain).encode()).hexdigest()


def with_checksum(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, KEY: checksum_of(document)}


def has_right_checksum(document: object) -> bool:
    """Whether a document that was read is the one that was written."""
    if not isinstance(document, dict):
        return False
    known = cast("dict[str, Any]", document)
    try:
        return known.get(KEY) == checksum_of(known)
    except (ValueError, RecursionError):
        return False


def prepend_checksum(name: str, content: bytes) -> bytes:
    """A file's content behind a hash of its name and its content."""
    return _hash(name, content) + content


def strip_checksum(name: str, found: bytes) -> bytes | None:
    """The content, or None if it is damaged or was written under another name."""
    content = found[_SIZE:]
    return content if found[:_SIZE] == _hash(name, content) else None


def _hash(name: str, content: bytes) -> bytes:
    total = sha256(len(name.encode()).to_bytes(8, "little") + name.encode())
    total.update(content)
    return total.digest()
