"""Encoders and classifiers: where they come from, how deep they are, what a forward pass gives."""

from kdray.models.attention import num_heads, split_heads
from kdray.models.depth import keep_layers, layers_to_keep, num_layers
from kdray.models.encoders import (
    Encoder,
    Head,
    encoder_layers,
    load_classifier,
    load_config,
    load_tokenizer,
    max_tokens,
    reorder_classes,
    resolve_encoder,
    save_classifier,
    tokenizer_digest,
)
from kdray.models.export import check_export
from kdray.models.forward import forward
from kdray.models.info import ModelInfo, folder_info, model_info
from kdray.models.joint import JointClassifier
from kdray.models.memory import asking_bytes, training_bytes
from kdray.models.precision import Precision, autocast, resolve_precision
from kdray.models.roundtrip import check_saves, check_signals, check_tokens

__all__ = [
    "Encoder",
    "Head",
    "JointClassifier",
    "ModelInfo",
    "Precision",
    "asking_bytes",
    "autocast",
    "check_export",
    "check_saves",
    "check_signals",
    "check_tokens",
    "encoder_layers",
    "folder_info",
    "forward",
    "keep_layers",
    "layers_to_keep",
    "load_classifier",
    "load_config",
    "load_tokenizer",
    "max_tokens",
    "model_info",
    "num_heads",
    "num_layers",
    "reorder_classes",
    "resolve_encoder",
    "resolve_precision",
    "save_classifier",
    "split_heads",
    "tokenizer_digest",
    "training_bytes",
]
