"""Preflight: a teacher that is no better than always answering the commonest class teaches nothing."""

import numpy as np

from kdray.errors import BadInput


def check_teacher(name: str, *, logits: np.ndarray, labels: np.ndarray, split: str) -> dict[str, float]:
    """The teacher's accuracy and the majority's on labelled rows.

    Raises:
        BadInput: The logits are not finite, or the teacher does not beat the majority class.
    """
    if not np.isfinite(logits).all():
        raise BadInput(f"teacher {name!r} gives logits that are not finite on the split {split!r}.")
    known = labels >= 0
    accuracy = float((logits[known].argmax(1) == labels[known]).mean())
    majority = float(np.bincount(labels[known]).max() / known.sum())
    if accuracy <= majority:
        raise BadInput(
            f"teacher {name!r} scores {accuracy:.3f} on {split!r}, no better than always answering the commonest class "
            f"({majority:.3f}): is it fine-tuned for this task, on enough rows, and are its labels in order? "
            "outputs.preflight=false turns this check off."
        )
    return {"accuracy": accuracy, "majority": majority}
