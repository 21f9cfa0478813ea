"""The model card names splits as its table does."""

from typing import Any

from kdray.distillation.card import model_card
from kdray.models import TRANSFORMER


def test_the_sentence_on_selection_names_the_splits_of_the_table() -> None:
    result: dict[str, Any] = {
        "title": "a student",
        "metrics": {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.25}},
        "rows": {"train": 8},
        "history": [{}],
        "best_epoch": 1,
        "versions": {"kdray": "0"},
        "cost": {"layers": 1, "parameters": 2},
        "spec": {
            "teachers": [],
            "labels": ["no", "yes"],
            "method": {"name": "kd"},
            "train": {"seed": 0, "max_length": 16},
        },
    }
    card = model_card(result, TRANSFORMER)
    assert "| test | 0.2500 |" in card
    assert "Selection used the split `validation`; nothing was selected by scores on `test`." in card
