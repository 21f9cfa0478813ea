"""What cannot be saved is not trained: a model is saved, reloaded and compared before its first step."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdray.errors import ConfigError
from kdray.models.depth import num_layers
from kdray.models.encoders import load_classifier, load_tokenizer, save_classifier
from kdray.models.forward import forward

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
                f"{name} ({_family(model)}, {model.config.num_hidden_layers} layers) cannot be saved: "
                f"{type(error).__name__}: {str(error).splitlines()[0]}"
            ) from error
        again = load_classifier(folder, labels=list(model.config.id2label.values()), seed=0, head="own")
        load_tokenizer(folder)
    before, after = probe_logits(model), probe_logits(again)
    if not torch.allclose(before, after, rtol=1e-4, atol=1e-5):
        raise ConfigError(
            f"{name} ({_family(model)}, {model.config.num_hidden_layers} layers) gives other logits once it is saved "
            f"and loaded again (largest difference {float((before - after).abs().max()):.3g}), so the trained model "
            "could not be kept; keep all layers, or take another encoder."
        )


def check_tokens(model: Any, tokenizer: Any, folder: Path) -> None:
    """
    Raises:
        ConfigError: The tokenizer has no words, or gives tokens that the model has no embedding for.
    """
    words, rows = tokenizer.get_vocab(), int(model.get_input_embeddings().num_embeddings)
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
    num_layers(model)  # refuses a family that has no list of them
    batch = probe(model)
    alone = {name: value[1:, :-PADDING] for name, value in batch.items()}
    try:
        with torch.no_grad():
            signals = forward(model, batch, needs | {"cls", "sent_emb"})
            own = forward(model, alone, frozenset({"sent_emb"})).sent_emb
    except ConfigError:
        raise
    except Exception as error:  # whatever a family raises that kdray cannot run
        raise ConfigError(f"{name}: kdray cannot run {_family(model)} ({type(error).__name__}: {error}).") from error
    states, padded = signals.cls, signals.sent_emb
    assert states is not None
    assert padded is not None
    assert own is not None
    if float((padded[1] - own[0]).abs().max()) > 1e-3 * float(own.abs().max()):
        raise ConfigError(
            f"{name}: what {_family(model)} computes for a row depends on how far the row is padded, so its scores "
            "change from batch to batch; set the embedding of the padding token to zero and save the model again, or "
            "take another encoder."
        )
    if "cls" in needs and torch.equal(states[0, -1], states[1, -1]):
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


def _family(model: Any) -> str:
    return f"family {model.config.model_type}"
