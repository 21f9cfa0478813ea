"""What a model needs is read off its files; the numbers against a loaded model and arithmetic by hand."""

from pathlib import Path

import pytest
import tiny
from transformers import AutoModel

from kdray.models import ModelInfo, folder_info, inference_bytes, keep_layers, training_bytes


def test_parameters_are_those_of_the_loaded_model(tiny_encoder: Path) -> None:
    info = folder_info(tiny_encoder)
    model = AutoModel.from_pretrained(tiny_encoder)
    assert info.parameters() == model.num_parameters()
    keep_layers(model, [0, 1])
    assert info.parameters(2) == model.num_parameters()
    assert (info.layers, info.width) == (4, tiny.WIDTH)


def test_bytes_are_the_arithmetic_of_the_docstrings() -> None:
    info = ModelInfo("m", layers=6, width=8, classes=2, outside=1000, each=100)
    own = 450e6
    assert inference_bytes(info, layers=3) == own + 4 * 1300
    # info, gradients, two moments; 34 values of fp32 a token, width and layer
    assert training_bytes(info, layers=3, rows=2, tokens=5) == own + 4 * 4 * 1300 + 2 * 5 * 8 * 3 * 34 * 4


@pytest.mark.parametrize("layers", [None, 6])
def test_all_layers_are_all_layers(layers: int | None) -> None:
    info = ModelInfo("m", layers=6, width=8, classes=2, outside=1000, each=100)
    assert info.parameters(layers) == 1600
