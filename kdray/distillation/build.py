"""Build a model from its source."""

from collections.abc import Callable, Sequence
from typing import Any

from kdray.distillation.spec import ModelSource
from kdray.errors import ConfigError
from kdray.models import (
    JointClassifier,
    check_saves,
    keep_layers,
    layers_to_keep,
    model_info,
    narrowed,
    reorder_classes,
    resolve_encoder,
    token_counts,
    tokenizer_digest,
    tokenizer_of,
)
from kdray.store import Store
from kdray.teachers import label_names, task_columns

COUNTED_TEXTS = 2000  # whose tokens a factorized word table keeps most of


def build_model(
    source: ModelSource,
    *,
    labels: Sequence[str],
    seed: int,
    store: Store,
    texts: Callable[[], Sequence[str]] | None = None,
) -> tuple[Any, Any]:
    """The model, cut to its depth, and its tokenizer. A classifier that the source lacks is drawn from `seed`.

    Args:
        texts: What the model will read, of which a factorized word table counts the first 2,000.

    Raises:
        ConfigError: The model does not fit its files or the labels, or cannot be saved and loaded again as it is.
    """
    if source.artifact is not None:
        folder = source.artifact.open(store).file("model")
    else:
        assert source.encoder is not None
        folder = resolve_encoder(source.encoder).folder
    weights = folder if source.member_index is None else folder / str(source.member_index)
    columns = task_columns(label_names(folder), labels, name=folder.name) if source.pretrained_head else None
    has_head = source.artifact is not None or source.pretrained_head
    model = source.architecture.build(weights, labels=labels, seed=seed, head="own" if has_head else "fresh")
    if columns is not None:
        reorder_classes(model, columns, labels)
    if source.layers is not None:
        keep_layers(model, layers_to_keep(source.init, keep=source.layers, of=model_info(model, "").layers))
    counts = None
    if texts is not None and source.embedding_rank is not None:
        every = texts()
        some = every[:: max(1, len(every) // COUNTED_TEXTS)][:COUNTED_TEXTS]
        counts = token_counts(tokenizer_of(source.architecture, folder, model), some)
    model = narrowed(model, source.narrow, seed=seed, counts=counts)
    tokenizer = tokenizer_of(source.architecture, folder, model)
    check_saves(model, tokenizer, source.encoder or folder.name)
    return model, tokenizer


def build_together(
    sources: Sequence[ModelSource], *, labels: Sequence[str], seed: int, store: Store
) -> tuple[JointClassifier, Any]:
    """All models under the head of the first, and the tokenizer that they must have in common."""
    built = [build_model(source, labels=labels, seed=seed, store=store) for source in sources]
    models, tokenizers = zip(*built, strict=True)
    if len({tokenizer_digest(tokenizer) for tokenizer in tokenizers}) > 1:
        raise ConfigError(
            "teachers that are fine-tuned together read the same tokens, but these have different tokenizers; "
            "set teacher_training=separate."
        )
    return JointClassifier(models), tokenizers[0]
