"""Whoever can write into a store cannot make its readers run code: no file of it is ever unpickled."""

import hashlib
import io
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from kdray.config import RunConfig
from kdray.errors import RunError
from kdray.stages import Context, InProcess, distill, prepare
from kdray.store import Store, with_checksum


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def settings(folder: Path, encoder: Path) -> RunConfig:
    prune = {"policy": "lower_tail", "keep_medoids": "nn"}
    return tiny.run_config(encoder, folder / "corpus", store=str(folder / "store"), prune=prune)


def distilled(run: RunConfig) -> None:
    context = Context(Store(run.store), InProcess(), None)
    distill(run, prepare(run, context), context)


def pickles(file: Path, mark: Path) -> bytes:
    """What unpickles into a folder, as large as the file it replaces so that its size gives nothing away."""
    if file.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
        content = buffer.getvalue()
    else:
        content = pickle.dumps(Bomb(mark))
    return content.ljust(file.stat().st_size, b"\0")


def test_unpickling_the_planted_object_leaves_a_mark(tmp_path: Path) -> None:
    mark = tmp_path / "exploded"
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()


@pytest.mark.parametrize(
    ("poisoned", "missing"),  # what is in its place, and what must be made anew from it
    [
        ("corpus/*/train.parquet", "prune"),
        ("teach/*/model/model.safetensors", "outputs"),
        ("outputs/*/train.logits.npy", "distill"),
        ("embeddings/*/embeddings.npy", "prune"),
        ("prune/*/train.parquet", "distill"),
    ],
)
@pytest.mark.parametrize("forged", [False, True])
def test_a_pickle_in_place_of_an_artifacts_file_is_never_loaded(
    poisoned: str, missing: str, forged: bool, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused as not what was written; where the manifest was forged too, by whoever expects a table or an array."""
    tiny.save_opinions(tmp_path / "corpus")
    run = settings(tmp_path, tiny_encoder)
    distilled(run)
    store, mark = tmp_path / "store", tmp_path / "exploded"
    (file,) = store.glob(poisoned)
    file.write_bytes(pickles(file, mark))
    if forged:
        artifact = file.relative_to(store).parts[:2]
        listed = store.joinpath(*artifact, "manifest.json")
        manifest = json.loads(listed.read_text())
        said = manifest["files"][str(file.relative_to(listed.parent))]
        said["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        listed.write_text(json.dumps(with_checksum(manifest)))
    for stage in {missing, "distill"}:
        shutil.rmtree(store / stage)
    monkeypatch.setattr("kdray.store.artifact._intact", set())  # as in another process
    with pytest.raises(Exception if forged else RunError, match=None if forged else f"{file.name} is not what was"):
        distilled(run)
    assert not mark.exists()
