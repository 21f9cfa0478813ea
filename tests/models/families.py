"""Tiny random models of many families, each in a folder as a hub would hold it."""

from pathlib import Path
from typing import Any

import tiny
import torch
import transformers as hf

SHAPE = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
SMALL: dict[str, Any] = {"vocab_size": len(tiny.WORDS), "pad_token_id": 0, **SHAPE}
SUPPORTED: dict[str, Any] = {
    "bert": hf.BertConfig(**SMALL),
    "roberta": hf.RobertaConfig(max_position_embeddings=130, type_vocab_size=1, **SMALL),
    "distilbert": hf.DistilBertConfig(vocab_size=len(tiny.WORDS), dim=16, n_layers=4, n_heads=2, hidden_dim=32),
    "electra": hf.ElectraConfig(embedding_size=8, **SMALL),
    "mpnet": hf.MPNetConfig(**SMALL),
    "deberta-v2": hf.DebertaV2Config(
        relative_attention=True, pos_att_type=["c2p", "p2c"], position_buckets=8, type_vocab_size=0, **SMALL
    ),
    "modernbert": hf.ModernBertConfig(
        local_attention=8, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, **SMALL
    ),
    "longformer": hf.LongformerConfig(attention_window=[8] * 4, max_position_embeddings=130, **SMALL),
    "mobilebert": hf.MobileBertConfig(embedding_size=8, true_hidden_size=8, intra_bottleneck_size=8, **SMALL),
    "qwen2": hf.Qwen2Config(num_key_value_heads=2, **SMALL),
}
REFUSED: dict[str, Any] = {
    "albert": hf.AlbertConfig(embedding_size=8, **SMALL),
    "xlnet": hf.XLNetConfig(vocab_size=len(tiny.WORDS), d_model=16, n_layer=4, n_head=2, d_inner=32),
    "t5": hf.T5Config(vocab_size=len(tiny.WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2),
    "gpt2": hf.GPT2Config(vocab_size=len(tiny.WORDS), n_embd=16, n_layer=4, n_head=2, bos_token_id=2, eos_token_id=3),
}


def save(folder: Path, config: Any, *, classes: int | None = None, **settings: Any) -> Path:
    """An encoder without a head, or with one of `classes` classes; `settings` go into its configuration."""
    tiny.save_tokenizer(folder)
    auto = hf.AutoModel if classes is None else hf.AutoModelForSequenceClassification
    config = type(config).from_dict({**config.to_dict(), **settings})
    if classes is not None:
        config.num_labels = classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = auto.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(0, 0.5)  # wide enough for scores that differ
        model.get_input_embeddings().weight.data[0] = 0  # the padding's, as its initialization leaves it
    model.save_pretrained(folder)
    return folder
