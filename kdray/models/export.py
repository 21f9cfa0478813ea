"""The exported folder gives the scores of the model, read by the library that a user will load it with."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from jaxtyping import Float
from torch import Tensor

from kdray.errors import RunError


def check_export(folder: Path, rows: Sequence[Sequence[str]], logits: Float[Tensor, "rows classes"]) -> None:
    """Compare the scores of `transformers.pipeline` with those of the trained model.

    Args:
        rows: Each of one text, or two.
        logits: The trained model's, float32, on the CPU.

    Raises:
        RunError: They differ, or transformers cannot load the folder.
    """
    try:
        scores = pipeline_scores(folder, rows)
    except Exception as error:  # transformers raises many kinds
        raise RunError(
            f"the exported model cannot be read by transformers.pipeline ({type(error).__name__}: {error}), so it is "
            "not kept."
        ) from error
    difference = float((scores - _expected(folder, logits)).abs().max()) if len(rows) else 0.0
    if not difference < 1e-3:
        raise RunError(
            f"the exported model gives other scores in transformers.pipeline than after its training (largest "
            f"difference {difference:.3g}), so it is not kept."
        )


def _expected(folder: Path, logits: Tensor) -> Tensor:
    """What the pipeline makes of logits, by the problem type of the export: values, probabilities, or a softmax."""
    kind = json.loads((folder / "config.json").read_text()).get("problem_type")
    if kind == "regression":
        return logits
    return logits.sigmoid() if kind == "multi_label_classification" else logits.softmax(-1)


def pipeline_scores(folder: Path, rows: Sequence[Sequence[str]]) -> Float[Tensor, "rows classes"]:
    """Read as the model card shows it: whatever the tokenizer's and the configuration's files hold."""
    classify: Any = transformers.pipeline(
        "text-classification", str(folder), device=-1, top_k=None, truncation=True, trust_remote_code=False
    )
    labels: dict[str, int] = classify.model.config.label2id
    found = torch.zeros(len(rows), len(labels))
    for place, row in enumerate(rows):
        for entry in classify([dict(zip(("text", "text_pair"), row, strict=False))])[0]:
            found[place, labels[entry["label"]]] = entry["score"]
    return found
