"""Folders that hold code, or are not whole: no code runs, and each is refused in one sentence that names the file."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import families
import pytest
import torch

from kdray.errors import ConfigError
from kdray.models import load_classifier, load_config, load_tokenizer, resolve_encoder

CODE = 'from pathlib import Path\nPath(r"{canary}").write_text("ran")\nclass A: pass\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = families.save(tmp_path / "enc", families.SUPPORTED["bert"])
    for name in ("configuration_a.py", "modeling_a.py", "tokenization_a.py"):
        (folder / name).write_text(CODE.format(canary=tmp_path / "canary"))
    return folder


def change(folder: Path, name: str, **values: object) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def header(folder: Path, size: int, text: bytes = b"{}") -> None:
    weights(folder).write_bytes(struct.pack("<Q", size) + text)


AUTO_MAP = {"AutoConfig": "configuration_a.A", "AutoModelForSequenceClassification": "modeling_a.A"}


def pickled(folder: Path) -> None:
    weights(folder).unlink()
    torch.save({}, folder / "pytorch_model.bin")


def sharded(folder: Path) -> None:
    weights(folder).rename(folder.parent / "x.safetensors")
    shard = folder / "model-00001-of-00001.safetensors"
    shard.write_bytes((folder.parent / "x.safetensors").read_bytes())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))


def negative_shape(folder: Path) -> None:
    text = json.dumps({"a": {"dtype": "F32", "shape": [-2, 2], "data_offsets": [0, 16]}}).encode()
    weights(folder).write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 16)


def adapter_beside(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def without_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)


def cut_off(folder: Path) -> None:
    weights(folder).write_bytes(weights(folder).read_bytes()[:-100])


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "code of a model": (lambda f: change(f, "config.json", auto_map=AUTO_MAP), r"enc/config\.json has 'auto_map'"),
    "code of an unknown family": (
        lambda f: change(f, "config.json", auto_map=AUTO_MAP, model_type="a"),
        r"enc/config\.json has 'auto_map'",
    ),
    "code of a tokenizer": (
        lambda f: change(f, "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_a.A", None]}),
        r"enc/tokenizer_config\.json has 'auto_map'",
    ),
    "a kernel of a repository": (
        lambda f: change(f, "config.json", _attn_implementation="own-er/kernel"),
        r"enc/config\.json has _attn_implementation = 'own-er/kernel': the code of a repository",
    ),
    "a kernel of a part": (
        lambda f: change(f, "config.json", part={"attn_implementation": {"": "paged|a/b@v1:f"}}),
        r"enc/config\.json has attn_implementation = .*'paged\|a/b@v1:f'",
    ),
    "quantized": (
        lambda f: change(f, "config.json", quantization_config={"quant_method": "awq"}),
        r"enc/config\.json has 'quantization_config'",
    ),
    "pickle": (pickled, r"enc has no \*\.safetensors file \(pytorch_model\.bin may hold pickled code"),
    "a shard outside": (sharded, r"enc/model\.safetensors\.index\.json names the file '\.\./x\.safetensors'"),
    "a huge header": (lambda f: header(f, 2**62), r"enc/model\.safetensors is damaged or cut off"),
    "a header cut off": (lambda f: header(f, 1000), r"enc/model\.safetensors is damaged or cut off"),
    "negative shape": (negative_shape, r"enc/model\.safetensors is damaged or cut off"),
    "cut off": (cut_off, r"enc/model\.safetensors is damaged or cut off"),
    "not a number": (
        lambda f: change(f, "config.json", hidden_dropout_prob=float("nan")),
        r"hidden_dropout_prob = n",
    ),
    "many layers": (lambda f: change(f, "config.json", num_hidden_layers=10**9), r"num_hidden_layers = 1000000000"),
    "no layers": (lambda f: change(f, "config.json", num_hidden_layers=-1), r"num_hidden_layers = -1; allowed"),
    "wide": (lambda f: change(f, "config.json", hidden_size=10**12), r"hidden_size = 1000000000000; allowed"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), r"enc/config\.json cannot be read as JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), r"enc/config\.json holds list, not a JSON object"),
    "deep JSON": (lambda f: (f / "config.json").write_text("[" * 10**5), r"enc/config\.json cannot be read as JSON"),
    "pointer": (lambda f: weights(f).write_text(POINTER), r"enc/model\.safetensors is only a pointer of Git LFS"),
    "pointer tokenizer": (lambda f: (f / "tokenizer.json").write_text(POINTER), r"enc/tokenizer\.json is only a"),
    "adapter beside a model": (
        adapter_beside,
        r"enc holds an adapter beside a model \(adapter_config\.json\): merge it",
    ),
    "adapter": (adapter, r"enc holds an adapter only \(adapter_config\.json\): merge it"),
    "no configuration": (lambda f: (f / "config.json").unlink(), r"enc has no config\.json"),
    "no tokenizer": (without_tokenizer, r"enc has no tokenizer \(tokenizer\.json, "),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_code_runs_and_the_file_is_named(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # whoever is asked agrees
    damage, sentence = HOSTILE[kind]
    damage(folder)
    with pytest.raises(ConfigError, match=sentence) as error:
        resolve_encoder(str(folder))
    assert "\n" not in str(error.value)
    assert not (folder.parent / "canary").exists()


@pytest.mark.parametrize("load", [load_config, load_tokenizer, lambda f: load_classifier(f, labels=("a",), seed=0)])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_is_refused_wherever_a_folder_is_loaded(load, name, folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    change(folder, name, auto_map=AUTO_MAP)
    with pytest.raises(ConfigError, match="has 'auto_map'"):
        load(folder)
    assert not (folder.parent / "canary").exists()


def test_an_attention_of_transformers_is_allowed(folder: Path) -> None:
    change(folder, "config.json", attn_implementation="sdpa", quantization_config=None)
    assert resolve_encoder(str(folder)).folder == folder


def test_code_in_a_model_folder_never_runs(folder: Path) -> None:
    torch.save({}, folder / "training_args.bin")
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}")
    weights(folder).rename(folder.parent / "blob")
    weights(folder).symlink_to(folder.parent / "blob")  # as in the cache of a hub
    found = resolve_encoder(str(folder)).folder
    model = load_classifier(found, labels=("a", "b"), seed=0, head="fresh")
    load_tokenizer(found, model)
    assert not (folder.parent / "canary").exists()


def test_weights_of_another_shape_or_depth_are_refused(folder: Path) -> None:
    change(folder, "config.json", num_hidden_layers=5)
    with pytest.raises(ConfigError, match=r"do not fit its config\.json: bert\.encoder\.layer\.4\.\S+ is missing"):
        load_classifier(folder, labels=("a", "b"), seed=0, head="fresh")
    change(folder, "config.json", num_hidden_layers=4, intermediate_size=48)
    with pytest.raises(ConfigError, match=r"intermediate\.dense\.bias has the shape \[32\], not \[48\]"):
        load_classifier(folder, labels=("a", "b"), seed=0, head="fresh")


def test_a_tokenizer_without_padding_is_refused(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"enc has no padding token"):
        load_tokenizer(folder)


def test_every_call_of_transformers_refuses_code_explicitly() -> None:
    root = Path(__file__).parents[2]
    for file in (file for top in ("kdray", "benchmarks", "cluster", "sweeps") for file in (root / top).rglob("*.py")):
        text = file.read_text()
        calls = text.count(".from_pretrained(") + text.count("transformers.pipeline(\n")
        assert calls == text.count("trust_remote_code=False"), file
        assert "trust_remote_code=True" not in text
