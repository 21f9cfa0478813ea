"""Which classifier a folder holds."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdray.errors import ConfigError
from kdray.export.bundle import open_bundle
from kdray.export.trained import TrainedModel, check_trained, is_onnx_bundle, open_trained
from kdray.serve.scorer import Row, Scorer


class _Onnx:
    """A bundle with an ONNX graph."""

    def __init__(self, folder: Path, threads: int) -> None:
        bundle = open_bundle(folder, threads=threads)
        self.about, self.tokenizer = bundle.about, bundle.tokenizer
        self.shortened, self.logits_of = bundle.shortened, bundle.logits


class _Torch:
    """A model of torch, on a GPU where there is one."""

    def __init__(self, trained: TrainedModel) -> None:
        self._trained = trained
        model, tokenizer = trained.load_model()
        self._loaded = model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer
        self.tokenizer = tokenizer.backend_tokenizer

    def shortened(self, rows: Sequence[Row]) -> list[Row]:
        """The texts as the model reads them: pruned, where it was trained on pruned texts."""
        return list(zip(*self._columns(rows), strict=True))

    def logits_of(self, rows: Sequence[Row]) -> np.ndarray:
        return self._trained.logits(self._loaded, self._columns(rows), precision=self._trained.reading.precision)

    def _columns(self, rows: Sequence[Row]) -> list[list[str]]:
        columns = [[row[place] for row in rows] for place in range(len(self._trained.reading.fields))]
        return self._trained.shortened(columns)


def check_model(where: str | Path) -> None:
    """
    Raises:
        ConfigError: `open_scorer` finds no model there.
    """
    if not is_onnx_bundle(Path(where).expanduser()):
        check_trained(where)


def open_scorer(where: str | Path, *, threads: int = 0) -> Scorer:
    """Load a bundle, a saved student, a student of a store, or a folder of transformers.

    Args:
        threads: Of one prediction of an ONNX graph; 0 takes all processors.

    Raises:
        ConfigError: The folder holds none of these, or a package is missing.
    """
    folder = Path(where).expanduser()
    if is_onnx_bundle(folder):
        if importlib.util.find_spec("onnxruntime") is None:
            raise ConfigError(f"{where} is an ONNX bundle, which needs onnxruntime: pip install 'kdray[export]'.")
        onnx = _Onnx(folder, threads)
        about = onnx.about
        return Scorer(
            folder,
            onnx,
            about["task"],
            _labels(about),
            tuple(about["fields"]),
            about["max_length"],
            onnx.tokenizer,
            temperature=about.get("temperature") or 1.0,
            abstain_below=about.get("abstain_below"),
        )
    trained = open_trained(where)
    reading, loaded = trained.reading, _Torch(trained)
    return Scorer(folder, loaded, reading.task, reading.labels, reading.fields, reading.max_length, loaded.tokenizer)


def _labels(about: dict[str, Any]) -> tuple[str, ...]:
    return () if about["task"] == "regression" else tuple(about["labels"])
