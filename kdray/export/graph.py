"""A model as an ONNX graph, with batch and length free. torch and onnx are imported on first use."""

import importlib.util
import logging
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdray.compat import forget_lstm_kernel
from kdray.errors import ConfigError

OPSET = 20
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_installed() -> None:
    """
    Raises:
        ConfigError: A package of the extra `export` is missing.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"an ONNX export needs {', '.join(missing)}: pip install 'kdray[export]'.")


def write_graph(model: Any, batch: Mapping[str, Any], file: Path) -> None:
    """Trace `model` (in eval mode, on the CPU) and write one ONNX file with the output `logits`.

    Args:
        model: A module that takes `input_ids`, `attention_mask` and, where `batch` has them, `token_type_ids`, and
            returns an object with `logits`.
        batch: Some rows, int64 [rows, tokens] by name of the input; two rows or more, of two tokens or more.

    Raises:
        ConfigError: The model cannot be traced.
    """
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(batch, inputs, strict=True))).logits

    forget_lstm_kernel()
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with quiet():
            torch.onnx.export(
                Logits().eval(),
                tuple(batch.values()),
                str(file),
                dynamo=True,
                input_names=list(batch),
                output_names=["logits"],
                dynamic_shapes=((free,) * len(batch),),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # torch.export raises many kinds
        family = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        raise ConfigError(
            f"a model of family {family} cannot be exported to ONNX ({type(error).__name__} of torch.onnx.export); "
            "take the format hf, or train a student of another family (docs/models.md)."
        ) from error


def inputs_of(tokenizer: Any) -> Sequence[str]:
    """The names of the inputs that a model with this tokenizer takes."""
    types = ["token_type_ids"] if "token_type_ids" in tokenizer.model_input_names else []
    return ["input_ids", "attention_mask", *types]


@contextmanager
def quiet() -> Generator[None]:
    """Without the log lines and warnings of torch.onnx and onnxruntime."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
