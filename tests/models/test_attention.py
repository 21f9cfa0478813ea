"""What forward gives of tokens, against what transformers itself says of its attention."""

import dataclasses

import pytest
import tiny
import torch
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from kdray.errors import ConfigError
from kdray.models import forward, num_heads, split_heads
from kdray.models.attention import record_qkv

IDS = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
BATCH = {"input_ids": IDS, "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])}
TOKENS = frozenset({"hidden", "attn", "qkv", "qkv_last"})


def bert():
    return tiny.classifier(seed=0, layers=3)


def roberta():
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
    return RobertaForSequenceClassification(RobertaConfig(vocab_size=40, pad_token_id=0, **shape)).eval()


def distilbert():
    config = DistilBertConfig(vocab_size=40, dim=16, n_layers=3, n_heads=4, hidden_dim=32)
    return DistilBertForSequenceClassification(config).eval()


@pytest.fixture(params=[bert, roberta, distilbert], ids=lambda build: build.__name__)
def model(request):
    torch.manual_seed(0)
    return request.param()


def test_scores_are_those_that_the_model_attends_with(model):
    with torch.no_grad():
        signals = forward(model, BATCH, TOKENS)
        model.set_attn_implementation("eager")
        attended = model(**BATCH, output_attentions=True).attentions
    assert signals.attn is not None
    masked = signals.attn.masked_fill(~signals.mask[:, None, None, None, :], -torch.inf)
    for layer, probabilities in enumerate(attended):
        torch.testing.assert_close(masked[:, layer].softmax(-1), probabilities, rtol=1e-5, atol=1e-6)


def test_the_last_layers_queries_and_keys_give_its_scores(model):
    signals = forward(model, BATCH, TOKENS)
    queries, keys, _ = (split_heads(x, num_heads(model.config)) for x in signals.qkv_last.unbind(1))
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    torch.testing.assert_close(scores, signals.attn[:, -1])


def test_queries_keys_and_values_of_every_layer_end_in_those_of_the_last(model):
    signals = forward(model, BATCH, TOKENS)
    assert signals.qkv.shape == (2, 3, 3, 4, 16)
    assert torch.equal(signals.qkv[:, -1], signals.qkv_last)
    assert torch.equal(forward(model, BATCH, frozenset({"qkv"})).qkv, signals.qkv)
    first = forward(model, BATCH, frozenset({"qkv"})).qkv[:, 0, 0]
    assert not torch.equal(first, signals.qkv_last[:, 0])


def test_hidden_states_hold_every_layer_and_the_embeddings(model):
    signals = forward(model, BATCH, frozenset({"hidden", "cls"}))
    assert signals.hidden.shape[:3] == (2, 4, 4)
    assert torch.equal(signals.hidden[:, :, 0], signals.cls)
    assert torch.equal(signals.mask, BATCH["attention_mask"].bool())


def test_every_signal_takes_gradients(model):
    model.train()
    signals = forward(model, BATCH, TOKENS)
    sum(x.square().sum() for x in (signals.hidden, signals.attn, signals.qkv_last)).backward()
    first = next(p for name, p in model.named_parameters() if "word_embeddings" in name)
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_nothing_is_recorded_unasked_and_no_hook_stays(model):
    forward(model, BATCH, frozenset({"hidden"}))  # transformers leaves hooks of its own
    before = [len(module._forward_hooks) for module in model.modules()]
    forward(model, BATCH, TOKENS)
    plain = forward(model, BATCH, frozenset())
    assert all(getattr(plain, f.name) is None for f in dataclasses.fields(plain) if f.name != "logits")
    assert [len(module._forward_hooks) for module in model.modules()] == before


def test_an_attention_without_known_projections_is_refused():
    model = bert()
    for block in model.bert.encoder.layer:
        block.attention = torch.nn.Identity()
    with (
        pytest.raises(ConfigError, match="no query, key and value projection that kdray knows"),
        record_qkv(model, range(1)),
    ):
        pass
