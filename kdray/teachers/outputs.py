"""A teacher's outputs: a callable that maps a table of texts to a table of signals."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from kdray import metrics
from kdray.corpora import Words, encode
from kdray.models import autocast, forward, load_classifier, load_tokenizer
from kdray.seeds import seed_of
from kdray.signals import DTYPES, Signals
from kdray.teachers.labels import label_names, task_columns
from kdray.train.data import Rows, predict_batched, predict_sorted


def _ignore(rows: int) -> None:
    del rows


class TeacherInference:
    """A fine-tuned teacher, loaded once, frozen and in eval mode.

    Args:
        folder: A Hugging Face folder.
        labels: The task's classes, whose order the logits are given in.
        kinds: Signals to give: `logits`, `cls`, `sent_emb`.
        embeds_only: Only embeddings are needed: label order is ignored, and the last bits of the outputs may
            depend on the other rows of the table.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        labels: Sequence[str],
        fields: Sequence[str],
        kinds: Sequence[str],
        max_length: int,
        precision: str,
        embeds_only: bool = False,
    ) -> None:
        head = "any" if embeds_only else "own"
        self._model = load_classifier(folder, labels=labels, seed=0, head=head).requires_grad_(False)
        self._tokenizer = load_tokenizer(folder, self._model)
        known = list(labels) if embeds_only else label_names(folder)
        self._columns = task_columns(known, labels, name=name)
        self._fields, self._kinds, self._max_length = fields, kinds, max_length
        self._precision, self._embeds_only = precision, embeds_only
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device)

    def __call__(self, table: pa.Table, *, on_rows: Callable[[int], None] = _ignore) -> pa.Table:
        """Columns id, and each signal as a fixed-size list of floats, flattened; in the table's order.

        Of rows of words, lists of the logits of all words, NaN for a word that the teacher does not read.

        Args:
            on_rows: Called after each batch, with its number of rows.
        """
        metrics.count("teacher_passes", len(table))
        rows = self._rows(table)
        parts: dict[str, list[np.ndarray]] = {kind: [] for kind in self._kinds}
        order: list[np.ndarray] = []
        needs = frozenset(self._kinds)
        with torch.inference_mode(), autocast(self._device, self._precision):  # pyright: ignore[reportArgumentType]
            for places, signals in self._forwarded(rows, needs):
                order.append(places)
                for kind in self._kinds:
                    value = getattr(signals, kind).float()
                    value = value[..., self._columns] if kind == "logits" else value
                    parts[kind].append((value if rows.encoded.words else value.flatten(1)).cpu().numpy())
                on_rows(len(places))
        back = np.argsort(np.concatenate(order))
        whole = {kind: np.concatenate(values)[back] for kind, values in parts.items()}
        if words := rows.encoded.words:
            return pa.table({"id": table["id"], **{kind: _by_word(value, words) for kind, value in whole.items()}})
        columns = {kind: _fixed(value, kind) for kind, value in whole.items()}
        return pa.table({"id": table["id"], **columns})

    def _forwarded(self, rows: Rows, needs: frozenset[str]) -> Iterator[tuple[np.ndarray, Signals]]:
        if self._embeds_only:
            return predict_sorted(self._model, rows, needs=needs, device=self._device)
        return predict_batched(self._model, rows, np.arange(len(rows)), needs=needs, device=self._device)

    def _rows(self, table: pa.Table) -> Rows:
        encoded = encode(self._tokenizer, [table[f].to_pylist() for f in self._fields], max_length=self._max_length)
        labels = torch.full((len(table),), -1)
        return Rows(table["id"].to_pylist(), encoded, labels, self._tokenizer.pad_token_id)


class MCDropoutInference(TeacherInference):
    """The same teacher with its dropout on: column `mc_probs` is the mean of several passes over a row.

    A row's passes are one batch and its id is their seed, so that the outputs do not depend on the other rows.

    Args:
        passes: Over every row.
    """

    def __init__(self, folder: Path, *, passes: int, **settings: Any) -> None:
        super().__init__(folder, kinds=("logits",), **settings)
        self._passes = passes

    def __call__(self, table: pa.Table, *, on_rows: Callable[[int], None] = _ignore) -> pa.Table:
        metrics.count("teacher_passes", self._passes * len(table))
        rows = self._rows(table)
        found: list[np.ndarray] = []
        self._model.train()
        with torch.inference_mode(), autocast(self._device, self._precision):  # pyright: ignore[reportArgumentType]
            for place, name in enumerate(rows.ids):
                batch = rows.batch(np.full(self._passes, place), self._device)
                with torch.random.fork_rng():
                    torch.manual_seed(seed_of("dropout", name))
                    logits = forward(self._model, batch, frozenset({"logits"})).logits
                found.append(torch.softmax(logits[:, self._columns], dim=-1).mean(0).cpu().numpy())
                on_rows(1)
        return pa.table({"id": table["id"], "mc_probs": _fixed(np.stack(found), "mc_probs")})


def _by_word(values: np.ndarray, words: Words) -> pa.ListArray:
    """
    Args:
        values: [rows, words, tags]
    """
    offsets = np.concatenate([[0], np.cumsum(words.lengths * values.shape[-1])])
    flat = values[words.is_word].astype(np.float32).ravel()
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat))


def _fixed(values: np.ndarray, kind: str) -> pa.FixedSizeListArray:
    narrow = values.astype(DTYPES[kind])
    return pa.FixedSizeListArray.from_arrays(pa.array(narrow.ravel()), narrow.shape[1])
