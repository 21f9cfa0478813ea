"""The saved folder gives the scores of the model, read as its users will read it."""

import json
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from kdray.errors import RunError
from kdray.models.architecture import probabilities
from kdray.models.kinds import architecture_at


def check_export(folder: Path, rows: Sequence[Sequence[str]], logits: Float[Tensor, "rows classes"]) -> None:
    """Compare the scores of the saved folder with those of the trained model.

    Args:
        rows: Each of one text, or two.
        logits: The trained model's, float32, on the CPU.

    Raises:
        RunError: They differ, or the folder cannot be loaded.
    """
    architecture = architecture_at(folder)
    try:
        scores = architecture.scores(folder, rows)
    except Exception as error:  # transformers raises many kinds
        raise RunError(
            f"the exported model cannot be read by {architecture.library} ({type(error).__name__}: {error}), so it is "
            "not kept."
        ) from error
    kind = json.loads((folder / "config.json").read_text()).get("problem_type")
    wanted = probabilities(logits, kind)
    if wanted.dim() == 3:  # of words: padded to the longest of other rows, perhaps
        wanted = wanted[:, : scores.shape[1]]
    same = scores.isnan() & wanted.isnan()  # words that neither reads
    difference = float((scores - wanted).masked_fill(same, 0).abs().max()) if len(rows) else 0.0
    if not difference < 1e-3:
        raise RunError(
            f"the exported model gives other scores in {architecture.library} than after its training (largest "
            f"difference {difference:.3g}), so it is not kept."
        )
