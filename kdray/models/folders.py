"""Folders of models from elsewhere: refused before anything of them is loaded if they are not whole, or hold code."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import safetensors

from kdray.errors import ConfigError

LFS_POINTER = b"version https://git-lfs"
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
KERNEL_KEYS = ("attn_implementation", "experts_implementation")
MOST_LAYERS = 1000
MOST_VALUES = 10**7  # of one number in a configuration: widths, words, positions


def check_folder(folder: Path) -> None:
    """
    Raises:
        ConfigError: A file is missing, damaged, or only a pointer; the folder is an adapter, or has code of its own.
    """
    has_adapter, has_model = ((folder / name).is_file() for name in ("adapter_config.json", "config.json"))
    if has_adapter:
        found = "an adapter beside a model" if has_model else "an adapter only"
        raise ConfigError(
            f"{folder} holds {found} (adapter_config.json): merge it into its base model first, for instance with "
            "peft's merge_and_unload(), and name the folder of the merged model, without adapter_config.json."
        )
    if not has_model:
        raise ConfigError(f"{folder} has no config.json, so it is not a model folder of transformers.")
    for file in sorted((*folder.glob("*.json"), *folder.glob("*.txt"), *folder.glob("*.safetensors"))):
        _refuse_pointer(file)
    refuse_code(folder)
    _check_numbers(folder / "config.json")
    if not any(file for pattern in TOKENIZER_FILES for file in folder.glob(pattern)):
        raise ConfigError(
            f"{folder} has no tokenizer ({', '.join(TOKENIZER_FILES)}): save the tokenizer that the model was trained "
            "with into this folder (tokenizer.save_pretrained)."
        )
    _check_weights(folder)


def refuse_code(folder: Path) -> None:
    """
    Raises:
        ConfigError: A configuration names Python code to be loaded from the folder or from elsewhere (`auto_map`), a
            kernel of a repository (`attn_implementation`), or quantized weights, whose readers are packages of others.
    """
    for name in ("config.json", "tokenizer_config.json"):
        file = folder / name
        found = read_json(file) if file.is_file() else {}
        if "auto_map" in found:
            raise ConfigError(
                f"{file} has 'auto_map': the model needs Python code of its own, which kdray never runs; use a model "
                "of a family that transformers contains."
            )
        for key, value in _entries(found):
            if any(name in key for name in KERNEL_KEYS) and "/" in json.dumps(value):
                raise ConfigError(
                    f"{file} has {key} = {value!r}: the code of a repository, which kdray never runs; take the key out "
                    "of the file."
                )
            if key == "quantization_config" and value is not None:
                raise ConfigError(
                    f"{file} has 'quantization_config': kdray reads no quantized weights; use the folder of the model "
                    "before it was quantized."
                )


def read_json(file: Path) -> dict[str, Any]:
    """
    Raises:
        ConfigError: It is not a JSON object.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read as JSON ({error}); download the folder again.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} holds {type(found).__name__}, not a JSON object; download the folder again.")
    return cast(dict[str, Any], found)


def stored_shapes(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of all tensors, from the headers of the safetensors files.

    Raises:
        ConfigError: A file is damaged or cut off.
    """
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safetensors.safe_open(file, framework="np") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (it is not a mapping)
                    yield name, tuple(tensors.get_slice(name).get_shape())
        except (safetensors.SafetensorError, OSError) as error:
            raise ConfigError(f"{file} is damaged or cut off ({error}); download it again.") from error


def _refuse_pointer(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            begins = opened.read(len(LFS_POINTER))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}).") from error
    if begins == LFS_POINTER:
        raise ConfigError(
            f"{file} is only a pointer of Git LFS, not the file itself: run `git lfs pull` in its folder."
        )


def _check_numbers(file: Path) -> None:
    """Before a model of a billion layers is built, or one of NaN."""
    for key, value in _numbers(read_json(file)):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{file}: {key} = {value} is not a finite number.")
        size = "size" in key or key.startswith(("num_", "n_")) or key.endswith(("_dim", "_embeddings"))
        if size and key != "chunk_size_feed_forward" and not 0 <= value <= MOST_VALUES:
            raise ConfigError(f"{file}: {key} = {value}; allowed are 0 to {MOST_VALUES:,}.")
        if key in ("num_hidden_layers", "n_layers", "num_layers") and not 1 <= value <= MOST_LAYERS:
            raise ConfigError(f"{file}: {key} = {value}; allowed are 1 to {MOST_LAYERS:,}.")


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in _entries(config):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield key, value


def _entries(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys and values of a configuration and of those within it."""
    for key, value in config.items():
        yield key, value
        if isinstance(value, dict):
            yield from _entries(cast(dict[str, Any], value))


def _check_weights(folder: Path) -> None:
    if not list(folder.glob("*.safetensors")):
        others = [file.name for pattern in ("*.bin", "*.pt", "*.h5", "*.ckpt") for file in folder.glob(pattern)]
        found = f" ({', '.join(sorted(others))} may hold pickled code, so they are not opened)" if others else ""
        raise ConfigError(
            f"{folder} has no *.safetensors file{found}; kdray loads no other weights. Where you trust the model, load "
            "it with transformers and save it again with save_pretrained."
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = read_json(index).get("weight_map")
        files = set(cast(dict[str, Any], named).values()) if isinstance(named, dict) else {None}
        for name in files:
            if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file():
                raise ConfigError(f"{index} names the file {name!r}, which is not in this folder.")
    for _ in stored_shapes(folder):
        pass
