"""The model card names splits as its table does, and the model that the layers come from."""

from typing import Any

import pytest

from kdray.distillation.card import model_card
from kdray.models import TRANSFORMER


def result_with(**model: Any) -> dict[str, Any]:
    return {
        "title": "a student",
        "metrics": {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.25}},
        "rows": {"train": 8},
        "history": [{}],
        "best_epoch": 1,
        "versions": {"kdray": "0"},
        "cost": {"layers": 3, "parameters": 2},
        "spec": {
            "teachers": [],
            "labels": ["no", "yes"],
            "method": {"name": "kd"},
            "train": {"seed": 0, "max_length": 16},
            "model": {"encoder": "minilm", "artifact": None, "layers": 3, "init": "bottom", **model},
        },
    }


def test_the_sentence_on_selection_names_the_splits_of_the_table() -> None:
    card = model_card(result_with(), TRANSFORMER)
    assert "| test | 0.2500 |" in card
    assert "Selection used the split `validation`; nothing was selected by scores on `test`." in card


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({}, "3 layers (`init: bottom`) of `minilm`, 2 parameters"),
        ({"layers": None, "encoder": "intfloat/small"}, "3 layers of `intfloat/small`, "),
        ({"layers": [0, 2, 4], "encoder": "/home/ada/models/mine"}, "3 layers (numbers 0, 2, 4) of `mine`, "),
        (
            {"encoder": None, "init": "skip", "artifact": {"stage": "teach", "name": "rte-one", "digest": "0" * 64}},
            "3 layers (`init: skip`) of the fine-tuned `teach/rte-one`, ",
        ),
    ],
)
def test_the_card_names_the_model_that_the_layers_come_from(model: dict[str, Any], words: str) -> None:
    assert f"made by kdray 0: {words}" in model_card(result_with(**model), TRANSFORMER)
