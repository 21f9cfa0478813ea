"""Counter-based randomness: every random choice is a function of a key, so that no order of execution can change it."""

import hashlib


def seed_of(*key: object) -> int:
    """A 63-bit seed that depends on every part of `key` (seed, epoch, step, purpose...) and on nothing else."""
    text = "\x1f".join(repr(part) for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
