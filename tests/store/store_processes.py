"""What other processes do to a store in tests; a module of its own so that a child process can load it."""

import os
from pathlib import Path
from typing import Any

from kdray.store import Draft, Store

SETTINGS: dict[str, Any] = {"a": 1}


def count_and_build(draft: Draft, made: Path) -> dict[str, Any]:
    with made.open("a") as file:
        file.write("built\n")
    draft.file("data.txt").write_text("data")
    return {"rows": 1}


def make_together(rank: int, root: Path, made: Path, barrier: Any) -> None:
    """Ask at the same moment as the other process does."""
    store = Store(str(root))
    barrier.wait()
    store.make("teach", "t", settings=SETTINGS, inputs={}, build=lambda draft: count_and_build(draft, made))


def die_while_building(root: Path) -> None:
    def build(draft: Draft) -> dict[str, Any]:
        draft.file("data.txt").write_text("half of the da")
        os._exit(9)

    Store(str(root)).make("teach", "t", settings=SETTINGS, inputs={}, build=build)
