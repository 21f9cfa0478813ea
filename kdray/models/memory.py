"""How much memory a model needs, as far as its files tell; for a plan, before anything is loaded."""

from kdray.models.info import ModelInfo

BYTES = 4  # weights, gradients and both moments of Adam are fp32, also under autocast
PROCESS_BYTES = 450e6  # Python with torch, transformers and Ray (measured)
PER_TOKEN = 34  # values that one layer keeps for the backward pass, in widths (Korthikanti et al. 2022, eq. 1)


def training_bytes(info: ModelInfo, *, layers: int | None, rows: int, tokens: int) -> float:
    """Of a process that trains the model: its own, weights, gradients, moments, and what the backward pass needs.

    Args:
        rows: Rows of one batch on one worker.
        tokens: Of its longest row.
    """
    kept = layers or info.layers
    activations = rows * tokens * info.width * kept * PER_TOKEN * BYTES
    return PROCESS_BYTES + 4 * BYTES * info.parameters(kept) + activations


def inference_bytes(info: ModelInfo, *, layers: int | None) -> float:
    """Of a process that runs the model forward only, where the values of one layer are alive at a time."""
    return PROCESS_BYTES + BYTES * info.parameters(layers)
