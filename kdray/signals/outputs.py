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

WORDS = ".words.npy"  # where rows have outputs for each of their words: where a row's words begin, [rows + 1]
PREDICTED = ".predicted.npy"  # of predictions from a file: which rows have one


class OutputsWriter:
    """Writes one split's outputs in any order of rows; `finish` refuses to end with a row missing."""

    def __init__(
        self,
        folder: Path,
        split: str,
        ids: Sequence[str],
        shapes: dict[str, tuple[int, ...]],
        *,
        words: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            words: How many words each row has, where `shapes` are those of one word; None: they are of a row.
        """
        self._split = split
        self._words = None if words is None else np.concatenate([[0], np.cumsum(words)]).astype(np.int64)
        if self._words is not None:
            np.save(folder / f"{split}{WORDS}", self._words)
        number = len(ids) if self._words is None else int(self._words[-1])
        self._position = {row: i for i, row in enumerate(ids)}
        self._done = np.zeros(len(ids), dtype=bool)
        (folder / f"{split}.ids.json").write_text(json.dumps(list(ids)))
        self._arrays = {
            kind: np.lib.format.open_memmap(
                folder / f"{split}.{kind}.npy", mode="w+", dtype=DTYPES[kind], shape=(number, *shape)
            )
            for kind, shape in shapes.items()
        }

    def write(self, ids: Sequence[str], values: dict[str, np.ndarray]) -> None:
        """Values of rows, [rows, ...]; or of all their words, [words, ...]."""
        at = np.array([self._position[row] for row in ids], np.int64)
        places = at if self._words is None else _word_places(self._words, at)
        for kind, array in self._arrays.items():
            array[places] = values[kind].reshape(len(places), *array.shape[1:])
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
        words = folder / f"{split}{WORDS}"
        self._words = np.load(words) if words.exists() else None
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
        """The signals of the rows at `positions`, as float32 tensors.

        Those of words are [rows, words, ...], padded with NaN to the split's longest row.
        """
        values = {
            kind: torch.from_numpy(np.asarray(self._of_rows(self._arrays[kind], positions), dtype=np.float32))
            for kind in kinds | {"logits"}
        }
        return Signals(**values)

    def _of_rows(self, array: Any, positions: np.ndarray) -> np.ndarray:
        if self._words is None:
            return array[positions]
        lengths = np.diff(self._words)
        padded = np.full((len(positions), int(lengths.max(initial=0)), *array.shape[1:]), np.nan, np.float32)
        padded[np.arange(padded.shape[1]) < lengths[positions][:, None]] = array[_word_places(self._words, positions)]
        return padded

    def array(self, kind: str) -> Any:
        """The whole memory-mapped array of one signal, in the order of the split's rows."""
        return self._arrays[kind]

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self._arrays)


def _word_places(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where the words of rows lie, one row after the other."""
    lengths = np.diff(offsets)[rows]
    ends = np.cumsum(lengths)
    return np.repeat(offsets[:-1][rows] - (ends - lengths), lengths) + np.arange(int(lengths.sum()))
