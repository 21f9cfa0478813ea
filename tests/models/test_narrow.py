"""Narrower models: which units are kept, that what is left computes the same, and which families are refused."""

from typing import Any

import pytest
import tiny
import torch
from families import SUPPORTED
from transformers import AutoModelForSequenceClassification

from kdray.errors import ConfigError
from kdray.models import Narrow, forward, narrowed
from kdray.models.roundtrip import probe

ALL = frozenset({"hidden"})


def small(family: str) -> Any:
    return AutoModelForSequenceClassification.from_config(SUPPORTED[family]).eval()


def silenced(model: Any, *, heads: tuple[int, ...] = (), inner: tuple[int, ...] = ()) -> Any:
    """Without what some heads and units of the feed-forward parts write."""
    size = tiny.WIDTH // 2
    with torch.no_grad():
        for block in model.bert.encoder.layer:
            for head in heads:
                block.attention.output.dense.weight[:, head * size : (head + 1) * size] = 0
                for part in ("query", "key", "value"):
                    getattr(block.attention.self, part).weight[head * size : (head + 1) * size] = 0
            block.output.dense.weight[:, list(inner)] = 0
    return model


def test_units_that_write_nothing_are_cut_without_a_change_of_the_logits() -> None:
    model = silenced(tiny.classifier(seed=0, layers=2), inner=tuple(range(0, 32, 2)))
    cut = narrowed(model, Narrow(intermediate=16), seed=0)
    assert cut.config.intermediate_size == 16
    batch = probe(model)
    with torch.no_grad():
        torch.testing.assert_close(forward(cut, batch, ALL).logits, forward(model, batch, ALL).logits)
    kept = model.bert.encoder.layer[1].intermediate.dense.weight[1::2]
    assert torch.equal(cut.bert.encoder.layer[1].intermediate.dense.weight, kept)


def test_the_head_and_the_hidden_units_that_matter_are_kept() -> None:
    model = silenced(tiny.classifier(seed=0, layers=2), heads=(0,))
    with torch.no_grad():  # nothing reads the hidden units 1, 3, 5, ...
        for block in model.bert.encoder.layer:
            for part in (*(getattr(block.attention.self, name) for name in ("query", "key", "value")),):
                part.weight[:, 1::2] = 0
            block.intermediate.dense.weight[:, 1::2] = 0
    cut = narrowed(model, Narrow(width=8), seed=0)
    assert (cut.config.hidden_size, cut.config.num_attention_heads) == (8, 1)
    old, new = model.bert.encoder.layer[0], cut.bert.encoder.layer[0]
    assert torch.equal(new.attention.self.value.weight, old.attention.self.value.weight[8:, ::2])
    assert torch.equal(new.attention.self.query.bias, old.attention.self.query.bias[8:])
    assert torch.equal(new.attention.output.dense.weight, old.attention.output.dense.weight[::2, 8:])
    assert torch.equal(new.output.LayerNorm.weight, old.output.LayerNorm.weight[::2])
    tables, kept = model.bert.embeddings, cut.bert.embeddings
    assert torch.equal(kept.word_embeddings.weight, tables.word_embeddings.weight[:, ::2])
    assert torch.equal(kept.position_embeddings.weight, tables.position_embeddings.weight[:, ::2])
    assert torch.equal(cut.bert.pooler.dense.weight, model.bert.pooler.dense.weight[::2, ::2])
    assert torch.equal(cut.classifier.weight, model.classifier.weight[:, ::2])
    assert model.config.hidden_size == tiny.WIDTH


def test_a_table_with_as_many_rows_as_the_model_is_wide_keeps_its_rows() -> None:
    settings = tiny.bert_config(layers=1)
    settings.max_position_embeddings = tiny.WIDTH
    model: Any = type(tiny.classifier(seed=0, layers=1))(settings).eval()
    cut = narrowed(model, Narrow(width=8), seed=0)
    assert cut.bert.embeddings.position_embeddings.weight.shape == (tiny.WIDTH, 8)


def test_fresh_weights_follow_from_the_seed() -> None:
    model, narrow = tiny.classifier(seed=0, layers=1), Narrow(width=8, heads=2, intermediate=16, weights="fresh")
    one, same, other = (narrowed(model, narrow, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize("family", ["roberta", "electra"])
def test_other_families_of_this_build_are_narrowed(family: str) -> None:
    model = small(family)
    width = model.config.hidden_size // 2
    cut = narrowed(model, Narrow(width=width, intermediate=4), seed=0)
    with torch.no_grad():
        hidden = forward(cut, probe(cut), ALL).hidden
    assert hidden is not None
    assert hidden[-1].shape[-1] == width


def test_another_family_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"family distilbert has no 'attention.self.query' in its layers"):
        narrowed(small("distilbert"), Narrow(width=8), seed=0)


@pytest.mark.parametrize(
    ("narrow", "said"),
    [
        (Narrow(width=32), "student.width = 32, but the model it is taken from has 16"),
        (Narrow(intermediate=99), "student.intermediate = 99, but the model it is taken from has 32"),
        (Narrow(width=12), "student.width = 12 is no multiple of the size of a head, 8"),
        (Narrow(width=9, heads=2), "student.width = 9 is no multiple of student.heads = 2"),
        (Narrow(heads=1), "has heads of 16 units, but those of the model it is taken from have 8"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(narrow: Narrow, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        narrowed(tiny.classifier(seed=0, layers=1), narrow, seed=0)
