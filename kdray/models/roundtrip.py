"""What cannot be saved is not trained: a model is saved, reloaded and compared before its first step."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdray.errors import ConfigError
from kdray.models.encoders import load_tokenizer
from kdray.models.kinds import architecture_of, forward, load_classifier, model_info, save_classifier
from kdray.models.transformer import Transformer

PROBE_TOKENS = 8
PADDING = 2  # tokens of the second row of the probe


def check_saves(model: Any, tokenizer: Any, name: str) -> None:
    """Save `model` (in eval mode, on the CPU), load it again, and compare the logits of a probe batch.

    In a process group only rank 0 does it: transformers saves nothing on the others.

    Raises:
        ConfigError: It cannot be saved or loaded, or the loaded model gives other logits.
    """
    if torch.distributed.is_initialized() and torch.distributed.get_rank() != 0:
        return
    with tempfile.TemporaryDirectory(prefix="kdray-probe-") as where:
        folder = Path(where)
        try:
            save_classifier(model, tokenizer, folder)
        except Exception as error:  # transformers raises many kinds
            raise ConfigError(
                f"{name} ({_described(model)}) cannot be saved: {type(error).__name__}: {str(error).splitlines()[0]}"
            ) from error
        again = load_classifier(folder)
        load_tokenizer(folder)
    before, after = probe_logits(model), probe_logits(again)
    if not torch.allclose(before, after, rtol=1e-4, atol=1e-5):
        raise ConfigError(
            f"{name} ({_described(model)}) gives other logits once it is saved "
            f"and loaded again (largest difference {float((before - after).abs().max()):.3g}), so the trained model "
            "could not be kept; keep all layers, or take another encoder."
        )


def check_tokens(model: Any, tokenizer: Any, folder: Path) -> None:
    """
    Raises:
        ConfigError: The tokenizer has no words, or gives tokens that the model has no embedding for.
    """
    table: Any = getattr(model, "get_input_embeddings", None)
    words, rows = tokenizer.get_vocab(), int(table().num_embeddings if table else model.config.vocab_size)
    if len(words) <= len(tokenizer.all_special_ids):
        raise ConfigError(f"the tokenizer in {folder} has special tokens only: every word would be an unknown token.")
    if beyond := sorted(word for word, number in words.items() if number >= rows):
        raise ConfigError(
            f"the tokenizer in {folder} has {len(beyond)} tokens more than the model has embeddings ({rows}), such as "
            f"{beyond[0]!r}: call model.resize_token_embeddings(len(tokenizer)) and train and save the model again, or "
            "take the tokenizer that it was trained with."
        )


def check_signals(model: Any, needs: frozenset[str], name: str) -> None:
    """
    Raises:
        ConfigError: The model has no list of layers, cannot run, or does not give the signals of `needs`; `cls` is
            refused where the first token has not seen the others; or a row's scores depend on the padding after it.
    """
    info = model_info(model, name)  # refuses a family of transformers that has no list of layers
    vector = "sent_emb" if info.gives is None or "sent_emb" in info.gives else "logits"
    batch = probe(model)
    alone = {name: value[1:, :-PADDING] for name, value in batch.items()}
    try:
        with torch.no_grad():
            signals = forward(model, batch, needs | ({"cls", vector} & architecture_of(model).gives))
            padded, own = getattr(signals, vector), getattr(forward(model, alone, frozenset({vector})), vector)
    except ConfigError:
        raise
    except Exception as error:  # whatever a family raises that kdray cannot run
        raise ConfigError(f"{name}: kdray cannot run {_family(model)} ({type(error).__name__}: {error}).") from error
    if (len(signals.logits), signals.logits.shape[-1]) != (len(batch["input_ids"]), info.classes):
        raise ConfigError(
            f"{name}: {_family(model)} gives logits of the shape {list(signals.logits.shape)} for 2 rows; expected is "
            f"[2, {info.classes}], a number for each row and class."
        )
    advice = "read its attention_mask"
    if isinstance(architecture_of(model), Transformer):
        advice = "set the embedding of the padding token to zero and save the model again, or take another encoder"
    if float((padded[1][: len(own[0])] - own[0]).abs().max()) > 1e-3 * float(own.abs().max()):
        raise ConfigError(
            f"{name}: what {_family(model)} computes for a row depends on how far the row is padded, so its scores "
            f"change from batch to batch; {advice}."
        )
    first = signals.cls
    if "cls" in needs and first is not None and torch.equal(first[0, -1], first[1, -1]):
        raise ConfigError(
            f"{name}: the first token of {_family(model)} does not see the tokens after it, so its state ('cls'), "
            "which the method compares, is the same for every text; take another encoder, or a method that "
            "needs only logits, such as kd."
        )


def probe(model: Any) -> Mapping[str, Tensor]:
    """Two rows with the same first token, the second one shorter."""
    words = int(model.config.vocab_size)
    ids = torch.arange(2 * PROBE_TOKENS).reshape(2, PROBE_TOKENS) % max(1, words - 4) + min(4, words - 1)
    ids[:, 0] = ids[0, 0].clone()
    mask = torch.ones_like(ids)
    mask[1, -PADDING:] = 0
    ids[1, -PADDING:] = int(model.config.pad_token_id or 0)
    return {"input_ids": ids, "attention_mask": mask}


def probe_logits(model: Any) -> Tensor:
    with torch.no_grad():
        return forward(model, probe(model), frozenset()).logits


def _described(model: Any) -> str:
    layers = getattr(model.config, "num_hidden_layers", None)
    return _family(model) + (f", {layers} layers" if layers else "")


def _family(model: Any) -> str:
    kind = "family" if isinstance(architecture_of(model), Transformer) else "architecture"
    return f"{kind} {model.config.model_type}"
