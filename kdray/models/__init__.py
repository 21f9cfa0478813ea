"""Encoders and classifiers: where they come from, how deep they are, what a forward pass gives."""

from kdray.models.architecture import Architecture, Head
from kdray.models.attention import num_heads, split_heads
from kdray.models.bilstm import BiLSTM
from kdray.models.depth import layers_to_keep, num_layers
from kdray.models.encoders import (
    Encoder,
    encoder_layers,
    load_config,
    load_tokenizer,
    max_tokens,
    reorder_classes,
    resolve_encoder,
    tokenizer_digest,
)
from kdray.models.export import check_export
from kdray.models.fitted import Fitted
from kdray.models.info import ModelInfo
from kdray.models.joint import JointClassifier
from kdray.models.kinds import (
    TOKEN_TRANSFORMER,
    TRANSFORMER,
    AnyArchitecture,
    architecture_at,
    architecture_of,
    folder_info,
    forward,
    keep_layers,
    load_classifier,
    model_info,
    save_classifier,
    transformer_for,
)
from kdray.models.linear_svm import LinearSVM
from kdray.models.logistic import Logistic
from kdray.models.memory import inference_bytes, training_bytes
from kdray.models.naive_bayes import NaiveBayes
from kdray.models.narrow import Narrow, Weights, narrowed
from kdray.models.network import Network, NetworkModel, Words, tokenizer_of
from kdray.models.precision import Precision, autocast, resolve_precision
from kdray.models.roundtrip import check_saves, check_signals, check_tokens
from kdray.models.static import Static
from kdray.models.textcnn import TextCNN
from kdray.models.transformer import Transformer
from kdray.models.vocabulary import changed_rows, token_counts, trim_vocabulary
from kdray.models.word_table import WordNetwork

__all__ = [
    "TOKEN_TRANSFORMER",
    "TRANSFORMER",
    "AnyArchitecture",
    "Architecture",
    "BiLSTM",
    "Encoder",
    "Fitted",
    "Head",
    "JointClassifier",
    "LinearSVM",
    "Logistic",
    "ModelInfo",
    "NaiveBayes",
    "Narrow",
    "Network",
    "NetworkModel",
    "Precision",
    "Static",
    "TextCNN",
    "Transformer",
    "Weights",
    "WordNetwork",
    "Words",
    "architecture_at",
    "architecture_of",
    "autocast",
    "changed_rows",
    "check_export",
    "check_saves",
    "check_signals",
    "check_tokens",
    "encoder_layers",
    "folder_info",
    "forward",
    "inference_bytes",
    "keep_layers",
    "layers_to_keep",
    "load_classifier",
    "load_config",
    "load_tokenizer",
    "max_tokens",
    "model_info",
    "narrowed",
    "num_heads",
    "num_layers",
    "reorder_classes",
    "resolve_encoder",
    "resolve_precision",
    "save_classifier",
    "split_heads",
    "token_counts",
    "tokenizer_digest",
    "tokenizer_of",
    "training_bytes",
    "transformer_for",
    "trim_vocabulary",
]
