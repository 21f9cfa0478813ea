"""Teacher outputs on disk: one `.npy` a signal, opened memory-mapped and read by row id (never by position)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdray.errors import ConfigError, RunError
from kdray.signals.signals import Signals

OUTPUT_KINDS = ("logits", "cls", "sent_emb")  # of one pass; other signals are computed only for methods that need them
DTYPES = {"logits": np.float32, "cls": np.float16, "sent_emb": np.float16, "mc_probs": np.float32}

PREDICTED = ".predicted.npy"  # of predictions from a file: which rows have one


class OutputsWriter:
    """Writes one split's outputs in any order of rows; `finish` refuses to end with a row missing."""

    def __init__(self, folder: Path, split: str, ids: Sequence[str], shapes: dict[str, tuple[int, ...]]) -> None:
        self._split = split
        self._position = {row: i for i, row in enumerate(ids)}
        self._done = np.zeros(len(ids), dtype=bool)
        (folder / f"{split}.ids.json").write_text(json.dumps(list(ids)))
        self._arrays = {
            kind: np.lib.format.open_memmap(
                folder / f"{split}.{kind}.npy", mode="w+", dtype=DTYPES[kind], shape=(len(ids), *shape)
            )
            for kind, shape in shapes.items()
        }

    def write(self, ids: Sequence[str], values: dict[str, np.ndarray]) -> None:
        at = [self._position[row] for row in ids]
        for kind, array in self._arrays.items():
            array[at] = values[kind].reshape(len(ids), *array.shape[1:])
        self._done[at] = True

    def finish(self) -> None:
        missing = np.flatnonzero(~self._done)
        if len(missing):
            rows = list(self._position)
            raise RunError(
                f"{self._split}: {len(missing)} rows got no teacher outputs, the first is {rows[missing[0]]!r}."
            )
        for array in self._arrays.values():
            array.flush()


class Outputs:
    """One teacher's outputs over one split, read by row id. Cheap to open: data is loaded on first use.

    Args:
        extra: Another folder with more signals of the same rows.
    """

    def __init__(self, folder: Path, split: str, *, extra: Path | None = None) -> None:
        path = folder / f"{split}.ids.json"
        if not path.exists():
            raise ConfigError(f"{folder.name} holds no outputs for the split {split!r}.")
        self._split = split
        self._position = {row: i for i, row in enumerate(json.loads(path.read_text()))}
        mask = folder / f"{split}{PREDICTED}"
        self._predicted = np.load(mask) if mask.exists() else None
        self._arrays: dict[str, Any] = {
            kind: np.load(file, mmap_mode="r") for kind in DTYPES if (file := folder / f"{split}.{kind}.npy").exists()
        }
        if extra is not None:
            more = Outputs(extra, split)
            if list(more._position) != list(self._position):
                raise ConfigError(f"{folder.name} and {extra.name} hold other rows of the split {split!r}.")
            self._arrays = more._arrays | self._arrays

    def __len__(self) -> int:
        return len(self._position)

    def positions(self, ids: Sequence[str]) -> np.ndarray:
        """Where the rows lie, for `at`.

        Raises:
            ConfigError: A row has no outputs.
        """
        try:
            return np.fromiter((self._position[row] for row in ids), dtype=np.int64, count=len(ids))
        except KeyError as missing:
            raise ConfigError(
                f"Teacher outputs of {self._split!r} hold no row {missing.args[0]!r}; they were made from other data."
            ) from None

    def predicted(self, positions: np.ndarray) -> np.ndarray | None:
        """Which of the rows have outputs, where predictions from a file may leave rows out; else None."""
        return None if self._predicted is None else self._predicted[positions]

    def at(self, positions: np.ndarray, kinds: frozenset[str]) -> Signals:
        """The signals of the rows at `positions`, as float32 tensors."""
        values = {
            kind: torch.from_numpy(np.asarray(self._arrays[kind][positions], dtype=np.float32))
            for kind in kinds | {"logits"}
        }
        return Signals(**values)

    def array(self, kind: str) -> Any:
        """The whole memory-mapped array of one signal, in the order of the split's rows."""
        return self._arrays[kind]

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self._arrays)
