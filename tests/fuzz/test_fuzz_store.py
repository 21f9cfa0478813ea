"""Manifests and files of a store, damaged: an artifact is used only if it is what was made."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import fuzzing
import pytest

from kdray.store import Draft, Store

pytestmark = pytest.mark.fuzz

SETTINGS = {"a": 1, "b": {"c": [1.5, None, True, "é"]}}


def build(draft: Draft) -> dict[str, Any]:
    draft.file("data.txt").write_text("data")
    draft.file("inner").mkdir()
    draft.file("inner/more.txt").write_text("more")
    return {"rows": 7, "note": "a note"}


@pytest.mark.parametrize("through", ["find", "list"])
def test_manifests(tmp_path: Path, through: str) -> None:
    store = Store(str(tmp_path / "store"))
    made, _ = store.make("teach", "t", settings=SETTINGS, inputs={"corpus": "00"}, build=build)
    path = made.path / "manifest.json"
    whole = path.read_bytes()
    shutil.copytree(made.path, tmp_path / "whole")

    def case(draw: random.Random) -> None:
        if draw.random() < 0.5:
            path.write_bytes(fuzzing.damaged(draw, whole))
        else:
            path.write_text(json.dumps(fuzzing.changed(draw, json.loads(whole))), encoding="utf-8")
        if through == "find":
            found = store.find("teach", "t", made.digest)
        else:
            found = next(iter(store.artifacts("teach")), None)
        if found is not None:
            kept = json.loads(whole)
            assert found.manifest == kept, f"{found.manifest} is not {kept}"
            assert found.file("data.txt").read_text() == "data"

    fuzzing.run_cases(f"manifests {through}", case)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store", "whole"]
    for inside in ("data.txt", "inner/more.txt"):
        assert (made.path / inside).read_bytes() == (tmp_path / "whole" / inside).read_bytes()
