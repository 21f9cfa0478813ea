"""What a model needs is read off its files; the numbers against a loaded model and arithmetic by hand."""

from pathlib import Path

import pytest
import tiny
from transformers import AutoModel

from kdray.models import Weights, asking_bytes, keep_layers, training_bytes


def test_parameters_are_those_of_the_loaded_model(tiny_encoder: Path) -> None:
    weights = Weights.of(tiny_encoder)
    model = AutoModel.from_pretrained(tiny_encoder)
    assert weights.parameters() == model.num_parameters()
    keep_layers(model, [0, 1])
    assert weights.parameters(2) == model.num_parameters()
    assert (weights.layers, weights.width) == (4, tiny.WIDTH)


def test_bytes_are_the_arithmetic_of_the_docstrings() -> None:
    weights = Weights(outside=1000, each=100, layers=6, width=8)
    own = 450e6
    assert asking_bytes(weights, layers=3) == own + 4 * 1300
    # weights, gradients, two moments; 34 values of fp32 a token, width and layer
    assert training_bytes(weights, layers=3, rows=2, tokens=5) == own + 4 * 4 * 1300 + 2 * 5 * 8 * 3 * 34 * 4


@pytest.mark.parametrize("layers", [None, 6])
def test_all_layers_are_all_layers(layers: int | None) -> None:
    weights = Weights(outside=1000, each=100, layers=6, width=8)
    assert weights.parameters(layers) == 1600
