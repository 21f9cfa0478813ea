"""Factorized word tables: what the smaller tables compute, that all else is kept, and which families are refused."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import transformers as hf
from families import REFUSED, SUPPORTED

from kdray.errors import ConfigError
from kdray.models import (
    Narrow,
    check_saves,
    encoder_layers,
    forward,
    keep_layers,
    load_tokenizer,
    model_info,
    narrowed,
    trim_vocabulary,
)
from kdray.models.roundtrip import probe

ALL = frozenset({"hidden"})
FACTORIZED = ("bert", "roberta", "electra")
AS_WIDE = {"embedding_size": 16}  # as the layers, so that there is no projection


def small(family: str, *, seed: int = 0, **settings: Any) -> Any:
    config = type(SUPPORTED[family]).from_dict({**SUPPORTED[family].to_dict(), **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = hf.AutoModelForSequenceClassification.from_config(config).eval()
        for parameter in model.base_model.embeddings.parameters():
            parameter.data += torch.empty_like(parameter).normal_(0, 0.3)  # also what begins as ones and zeros
    return model


def with_rank(model: Any, rank: int, **more: Any) -> Any:
    return narrowed(model, Narrow(embedding_rank=rank, **more), seed=0)


def hidden(model: Any) -> torch.Tensor:
    """[rows, layers, tokens, width], without padding."""
    batch = {name: value[:, :6] for name, value in probe(model).items()}
    with torch.no_grad():
        found = forward(model, batch, ALL).hidden
    assert found is not None
    return found


def cosine(model: Any, rank: int) -> float:
    """The mean one of what the first layer reads, before and after, without the biases of the LayerNorm."""
    cut, bias = with_rank(model, rank), model.base_model.embeddings.LayerNorm.bias
    if (project := getattr(model.base_model, "embeddings_project", None)) is not None:
        bias = project(bias)
    before, after = (hidden(each)[:, 0] - bias.detach() for each in (model, cut))
    return float(torch.cosine_similarity(before, after, dim=-1).mean())


def flat(model: Any, rank: int) -> Any:
    """Tables that span only `rank` dimensions, and no mean."""
    tables = model.base_model.embeddings
    with torch.no_grad():
        width = tables.LayerNorm.normalized_shape[0]
        basis, _ = torch.linalg.qr(torch.cat([torch.ones(width, 1), torch.randn(width, rank)], dim=1))
        for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
            table = getattr(tables, name).weight
            table.copy_(torch.randn(len(table), rank) @ basis[:, 1:].T)
    return model


@pytest.mark.parametrize(("family", "more"), [*((family, {}) for family in FACTORIZED), ("electra", AS_WIDE)])
def test_tables_of_few_dimensions_give_the_same_hidden_states(family: str, more: dict[str, Any]) -> None:
    """Where nothing is left out, neither the spread over the columns nor the other LayerNorm changes anything."""
    model = flat(small(family, layer_norm_eps=0.05, **more), 4)
    cut = with_rank(model, 5)
    assert cut.config.model_type == "electra"
    assert cut.get_input_embeddings().weight.shape == (len(tiny.WORDS), 5)
    torch.testing.assert_close(hidden(cut), hidden(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FACTORIZED)
def test_fewer_columns_keep_the_main_directions(family: str) -> None:
    """Of random tables any half of the directions keeps about sqrt(1/2) of the length; the main ones keep more."""
    model = small(family, **(AS_WIDE if family == "electra" else {}))
    half, most = cosine(model, 8), cosine(model, 15)
    assert half > 0.85
    assert most > 0.98


def test_tokens_that_are_read_keep_more_of_themselves() -> None:
    model = small("bert")
    counts = [number in (6, 7, 8) for number in range(len(tiny.WORDS))]
    with torch.no_grad():
        ids = torch.tensor([[6, 7, 8]])
        whole, alike, counted = (
            each.base_model(input_ids=ids, output_hidden_states=True).hidden_states[0]
            for each in (model, with_rank(model, 4), narrowed(model, Narrow(embedding_rank=4), seed=0, counts=counts))
        )
    near = [float(torch.cosine_similarity(whole, each, dim=-1).mean()) for each in (alike, counted)]
    assert near[1] > near[0] + 0.02


def test_the_classifier_of_electra_is_kept_and_its_logits_stay() -> None:
    model = flat(small("electra"), 3)
    batch = probe(model)
    with torch.no_grad():
        before, after = (forward(each, batch, frozenset()).logits for each in (model, with_rank(model, 4)))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_a_classifier_of_tokens_is_kept_with_all_its_logits() -> None:
    model = flat(tiny.token_classifier(seed=0, layers=2, classes=3), 5)
    cut = with_rank(model, 6)
    with torch.no_grad():
        before, after = (forward(each, probe(model), frozenset()).logits for each in (model, cut))
    torch.testing.assert_close(after[0], before[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(cut.classifier.weight, model.classifier.weight)


def test_the_head_of_bert_is_the_beginning_of_that_of_electra() -> None:
    model = tiny.classifier(seed=0, layers=1, classes=3)
    cut = with_rank(model, 4)
    assert torch.equal(cut.classifier.dense.weight, model.bert.pooler.dense.weight)
    assert torch.equal(cut.classifier.out_proj.bias, model.classifier.bias)
    assert cut.config.num_labels == 3


def test_it_has_fewer_parameters() -> None:
    model = tiny.classifier(seed=0, layers=1)
    whole, cut = (sum(each.numel() for each in each.parameters()) for each in (model, with_rank(model, 4)))
    rows = len(tiny.WORDS) + tiny.POSITIONS + 2
    assert whole - cut == rows * (tiny.WIDTH - 4) + 2 * (tiny.WIDTH - 4) - (4 * tiny.WIDTH + tiny.WIDTH)


@pytest.mark.parametrize("family", FACTORIZED)
def test_it_is_saved_and_loaded_with_its_tokenizer(family: str, tmp_path: Path) -> None:
    tiny.save_tokenizer(tmp_path)
    model = small(family)
    keep_layers(model, [0, 2])
    cut = with_rank(model, 6)
    check_saves(cut, load_tokenizer(tmp_path, cut), family)
    cut.save_pretrained(tmp_path)
    assert encoder_layers(str(tmp_path)) == model_info(cut, "").layers == 2


def test_trimming_leaves_tokens_times_rank(tmp_path: Path) -> None:
    tiny.save_tokenizer(tmp_path)
    cut = with_rank(small("bert"), 4)
    trimmed = trim_vocabulary(cut, load_tokenizer(tmp_path, cut), ["a good film"])
    assert cut.get_input_embeddings().weight.shape == (len(trimmed.get_vocab()), 4)
    assert len(trimmed.get_vocab()) < len(tiny.WORDS)
    check_saves(cut, trimmed, "trimmed")


def test_a_narrower_model_can_have_a_factorized_table_too() -> None:
    cut = with_rank(tiny.classifier(seed=0, layers=2), 4, width=8, intermediate=16)
    assert (cut.config.hidden_size, cut.config.embedding_size, cut.config.intermediate_size) == (8, 4, 16)
    assert hidden(cut).shape[-1] == 8


def test_fresh_weights_follow_from_the_seed() -> None:
    model, narrow = tiny.classifier(seed=0, layers=1), Narrow(embedding_rank=4, weights="fresh")
    one, same, other = (narrowed(model, narrow, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    name = "electra.encoder.layer.0.output.dense.weight"
    assert not torch.equal(one[name], other[name])
    assert not torch.equal(one[name], model.bert.encoder.layer[0].output.dense.weight)


@pytest.mark.parametrize("family", sorted({*SUPPORTED, *REFUSED} - {*FACTORIZED, "t5"}))
def test_other_families_are_refused(family: str) -> None:
    model: Any = hf.AutoModelForSequenceClassification.from_config({**SUPPORTED, **REFUSED}[family])
    with pytest.raises(ConfigError, match=f"embedding_rank: family {family} has embeddings of another kind"):
        with_rank(model, 4)


@pytest.mark.parametrize(("family", "columns"), [("bert", 16), ("electra", 8)])
def test_a_rank_that_saves_nothing_is_refused(family: str, columns: int) -> None:
    with pytest.raises(ConfigError, match=f"embedding_rank = {columns}, but the word table .* has {columns} columns"):
        with_rank(small(family), columns)
