"""Digests: the hash of resolved settings and of the inputs' digests, nothing else."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1  # raised when the bytes of some artifact change their meaning


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text. NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(stage: str, *, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The sha256 (hex, 64 characters) of one stage's resolved `settings` and its `inputs` (name to digest)."""
    text = canonical({"format": FORMAT_VERSION, "stage": stage, "settings": settings, "inputs": inputs})
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(file: Path) -> str:
    """The sha256 (hex) of a file's contents."""
    total = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            total.update(block)
    return total.hexdigest()
