"""Each family is cut, saved, loaded again and equal, or refused in a sentence."""

from pathlib import Path

import families
import pytest
import torch
from torch.testing._internal.distributed.fake_pg import FakeStore

from kdray.errors import ConfigError
from kdray.models import (
    check_saves,
    check_signals,
    forward,
    keep_layers,
    load_classifier,
    load_tokenizer,
    max_tokens,
    num_layers,
)
from kdray.models.roundtrip import probe

LABELS = ("x", "y", "z")


@pytest.fixture(params=list(families.SUPPORTED))
def folder(request, tmp_path):
    return families.save(tmp_path / request.param, families.SUPPORTED[request.param])


@pytest.mark.parametrize("layers", [(0, 1), (1, 3), (2,), (0, 3)])
def test_a_cut_model_is_the_same_once_saved_and_loaded(folder, layers):
    model = load_classifier(folder, labels=LABELS, seed=0, head="fresh")
    tokenizer = load_tokenizer(folder, model)
    keep_layers(model, layers)
    assert num_layers(model) == model.config.num_hidden_layers == len(layers)
    check_saves(model, tokenizer, "m")
    check_signals(model, frozenset({"hidden", "sent_emb"}), "m")


def test_a_model_that_changes_when_it_is_saved_is_refused(tmp_path):
    folder = families.save(tmp_path / "m", families.SUPPORTED["modernbert"])
    model = load_classifier(folder, labels=LABELS, seed=0, head="fresh")
    tokenizer = load_tokenizer(folder, model)
    blocks = model.model.layers
    model.model.layers = torch.nn.ModuleList(blocks[i] for i in (1, 3))  # a first layer with a norm of its own
    model.config.layer_types, model.config.num_hidden_layers = model.config.layer_types[:2], 2
    with pytest.raises(ConfigError, match=r"^m \(family modernbert, 2 layers\) (gives other logits|cannot be)"):
        check_saves(model, tokenizer, "m")
    model.config.num_hidden_layers = 3
    with pytest.raises(ConfigError, match=r"^m \(family modernbert, 3 layers\) cannot be saved: \w+: .*[^\n]$"):
        check_saves(model, tokenizer, "m")


def test_only_the_first_rank_of_a_training_saves_the_model(folder):
    """On the others, transformers saves nothing."""
    model = load_classifier(folder, labels=LABELS, seed=0, head="fresh")
    tokenizer = load_tokenizer(folder, model)
    torch.distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    try:
        check_saves(model, tokenizer, "m")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", list(families.REFUSED))
def test_other_families_are_refused(name, tmp_path):
    folder = families.save(tmp_path / name, families.REFUSED[name])
    model = load_classifier(folder, labels=LABELS, seed=0, head="fresh")
    with pytest.raises(ConfigError, match=r"(is not supported; take an encoder such as BERT|kdray cannot run)"):
        check_signals(model, frozenset(), name)


def test_the_first_token_of_a_causal_model_is_refused_as_its_summary(tmp_path):
    model = load_classifier(families.save(tmp_path, families.SUPPORTED["qwen2"]), labels=LABELS, seed=0, head="fresh")
    with pytest.raises(ConfigError, match=r"^m: the first token of family qwen2 does not see the tokens after it"):
        check_signals(model, frozenset({"cls"}), "m")
    check_signals(model, frozenset({"sent_emb"}), "m")


def test_scores_that_depend_on_padding_are_refused(tmp_path):
    """MobileBERT's last token reads the embedding of the padding after it."""
    folder = families.save(tmp_path, families.SUPPORTED["mobilebert"])
    model = load_classifier(folder, labels=LABELS, seed=0, head="fresh")
    check_signals(model, frozenset(), "m")
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    with pytest.raises(
        ConfigError, match=r"^m: what family mobilebert computes .* depends on how far the row is padded"
    ):
        check_signals(model, frozenset(), "m")


@pytest.mark.parametrize("name", [name for name in families.SUPPORTED if name != "qwen2"])
def test_the_first_token_of_an_encoder_sees_the_others(name, tmp_path):
    folder = families.save(tmp_path, families.SUPPORTED[name])
    check_signals(load_classifier(folder, labels=LABELS, seed=0, head="fresh"), frozenset({"cls"}), "m")


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "electra", "mpnet", "mobilebert"])
def test_queries_keys_and_values_are_found(name, tmp_path):
    folder = families.save(tmp_path, families.SUPPORTED[name])
    model = load_classifier(folder, labels=LABELS, seed=0, head="fresh")
    signals = forward(model, probe(model), frozenset({"qkv"}))
    assert signals.qkv is not None
    assert signals.qkv.shape[:3] == (2, 4, 3)


@pytest.mark.parametrize("name", ["mpnet", "longformer"])
def test_scores_that_are_not_those_of_queries_and_keys_are_refused(name, tmp_path):
    folder = families.save(tmp_path, families.SUPPORTED[name])
    with pytest.raises(ConfigError, match="attends by more than queries and keys"):
        check_signals(load_classifier(folder, labels=LABELS, seed=0, head="fresh"), frozenset({"attn"}), "m")


@pytest.mark.parametrize(
    ("name", "settings", "tokens"),
    [
        ("bert", {"max_position_embeddings": 20}, 20),
        ("roberta", {"max_position_embeddings": 20}, 19),  # positions are counted from behind the padding's, 0 here
        ("roberta", {"max_position_embeddings": 20, "pad_token_id": 1}, 18),
        ("mpnet", {"max_position_embeddings": 20}, 18),  # its padding is 1 whatever the configuration holds
        ("modernbert", {"max_position_embeddings": 20}, 20),
    ],
)
def test_a_row_may_have_as_many_tokens_as_there_are_positions(name, settings, tokens, tmp_path):
    folder = families.save(tmp_path, families.SUPPORTED[name], **settings)
    model = load_classifier(folder, labels=LABELS, seed=0, head="fresh")
    assert max_tokens(model) == tokens
    ids = torch.full((1, tokens), 5)
    forward(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, frozenset())
    if name != "modernbert":  # it counts positions by rotation, so more of them do not fail
        ids = torch.full((1, tokens + 1), 5)
        with pytest.raises((IndexError, RuntimeError)):
            forward(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, frozenset())


DOCUMENTED = (Path(__file__).parents[2] / "docs" / "models.md").read_text().partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in DOCUMENTED.splitlines() if line[:3] == "| `"]


def test_every_family_is_documented():
    assert [row[0].strip("`") for row in ROWS] == [*families.SUPPORTED, *families.REFUSED]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_documented_signals_are_those_that_a_family_gives(row, tmp_path):
    name = row[0].strip("`")
    folder = families.save(tmp_path, {**families.SUPPORTED, **families.REFUSED}[name])
    model = load_classifier(folder, labels=LABELS, seed=0, head="fresh")
    found: list[str] = []
    for needs in ((), ("sent_emb",), ("cls",), ("hidden",), ("qkv",), ("attn",)):
        try:
            check_signals(model, frozenset(needs), name)
            found.append("yes")
        except ConfigError:
            found.append("no")
    assert row[4:] == found
    assert row[1] == found[0]
