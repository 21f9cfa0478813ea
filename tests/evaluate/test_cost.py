"""Latency and its rows: which passes count, and how long a row may be."""

import itertools

import pytest
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification

from kdray.evaluate import cost, cost_of, latency


@pytest.mark.parametrize(("pad", "tokens"), [(0, 19), (1, 18)])
def test_roberta_reserves_the_positions_up_to_its_padding(pad, tokens):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=20, max_position_embeddings=20, pad_token_id=pad, **small)
    model = RobertaForSequenceClassification(config).eval()
    assert cost_of(model, device=torch.device("cpu")).tokens == tokens


def test_the_first_passes_are_not_timed(monkeypatch):
    """The pass number n takes n seconds here; 3 warm up, so the fastest of the passes 4 to 13 is the first."""
    clock, passes = [0.0], itertools.count(1)

    def forward(*_):
        clock[0] += next(passes)

    monkeypatch.setattr(cost, "forward", forward)
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])
    assert cost._latency_ms(None, {}, torch.device("cpu")) == 4000
