"""Metrics, statistics and cost, with numbers worked out outside kdray."""

import numpy as np
import pytest
import tiny
import torch

from kdray.errors import ConfigError
from kdray.evaluate import (
    against,
    cost_of,
    distillation_ratio,
    predict,
    retention,
    spread,
    welch,
)
from kdray.models.transformer import flops_of
from kdray.tasks import baseline, score_all, score_one

CPU = torch.device("cpu")
Y = np.array([1, 1, 1, 1, 0, 0])
PREDICTED = np.eye(2)[[1, 1, 1, 0, 1, 0]]  # as logits

# Five runs of each method on SST-2 and IMDb, as printed in S1's table 5.
SST2 = {
    "uhc": [85.74, 83.61, 84.22, 82.37, 85.69],
    "muki": [86.29, 82.16, 85.34, 84.68, 86.12],
    "ksm": [89.21, 89.01, 88.36, 89.18, 88.27],
    "ours": [89.91, 89.88, 89.65, 89.17, 88.96],
}
IMDB = {
    "uhc": [83.66, 81.21, 83.38, 82.93, 82.07],
    "muki": [84.51, 83.23, 84.47, 83.13, 82.98],
    "ksm": [85.31, 85.26, 84.93, 85.28, 84.97],
    "ours": [86.12, 86.08, 86.02, 85.85, 85.93],
}


def near(value):
    return pytest.approx(value, abs=1e-6)


def test_metrics_of_six_rows():
    assert score_one("accuracy", Y, PREDICTED) == near(0.666667)
    assert score_one("f1", Y, PREDICTED) == near(0.75)
    assert score_one("macro_f1", Y, PREDICTED) == near(0.625)
    assert score_one("matthews", Y, PREDICTED) == near(0.25)  # (3*1 - 1*1) / sqrt(4*4*2*2)


def test_accuracy_and_macro_f1_are_always_scored():
    assert score_all(["f1"], Y, PREDICTED) == near({"f1": 0.75, "accuracy": 0.6666667, "macro_f1": 0.625})
    assert list(score_all(["accuracy"], Y, PREDICTED)) == ["accuracy", "macro_f1"]


def test_unlabeled_rows_are_not_scored():
    labels = np.array([1, -1, 0, -1])
    assert score_one("accuracy", labels, np.eye(2)[[1, 0, 1, 0]]) == 0.5
    assert baseline("accuracy", np.array([1, -1, 1, 0, -1, -1]), outputs=2) == near(2 / 3)


def test_a_missing_score_is_an_error_and_not_0():
    with pytest.raises(ConfigError, match=r"^metric 'accuracy' cannot be computed: no row is labeled\.$"):
        score_one("accuracy", np.array([-1, -1]), np.eye(2))
    with pytest.raises(
        ConfigError,
        match=r"^metric 'bleu' is unknown; known are accuracy, f1, .* as module:function or file\.py:function\.$",
    ):
        score_one("bleu", Y, PREDICTED)


@pytest.mark.parametrize(
    ("runs", "other", "p"),
    [
        (SST2, "uhc", 0.000743),
        (SST2, "muki", 0.002672),
        (SST2, "ksm", 0.035325),
        (IMDB, "uhc", 0.001613),
        (IMDB, "muki", 0.002093),
        (IMDB, "ksm", 0.000070),
    ],
)
def test_welch_on_the_printed_runs(runs, other, p):
    assert welch(runs["ours"], runs[other]) == near(p)
    assert welch(runs[other], runs["ours"]) == near(p)


def test_welch_is_undefined_for_one_score_or_without_spread():
    assert welch([0.5], [0.4, 0.6]) is None
    assert welch([0.5, 0.5], [0.4, 0.4]) is None
    assert welch([0.5, 0.5], [0.4, 0.6]) is not None


@pytest.mark.parametrize(
    ("values", "mean", "population"),
    [
        (SST2["uhc"], 84.33, 1.281),
        (SST2["muki"], 84.92, 1.495),
        (SST2["ksm"], 88.81, 0.408),
        (SST2["ours"], 89.51, 0.383),
        (IMDB["uhc"], 82.65, 0.899),
        (IMDB["muki"], 83.66, 0.679),
        (IMDB["ksm"], 85.15, 0.165),
        (IMDB["ours"], 86.00, 0.099),
    ],
)
def test_the_printed_deviation_is_the_populations(values, mean, population):
    found = spread(values)
    assert found.mean == pytest.approx(mean, abs=0.0051)
    assert found.population_std == pytest.approx(population, abs=0.00051)
    assert found.std == pytest.approx(found.population_std * (5 / 4) ** 0.5)
    assert found.plain()["values"] == values


def test_one_score_has_no_sample_deviation():
    assert spread([0.5]).std is None
    assert spread([0.5]).population_std == 0


def test_ratios_where_lower_is_better():
    assert distillation_ratio(0.5, 0.8, 0.2, higher_is_better=False) == near(0.5)
    assert distillation_ratio(0.5, 0.2, 0.8, higher_is_better=False) is None
    compared = against([0.5], alone=[0.8], teacher=0.2, higher_is_better=False)
    assert (compared.difference, compared.retention) == (near(-0.3), None)


def test_ratios_of_distillation():
    assert retention(0.72, 0.9) == near(0.8)
    assert retention(0.5, 0.0) is None
    assert distillation_ratio(0.85, 0.8, 0.9) == near(0.5)
    assert distillation_ratio(0.75, 0.8, 0.9) == near(-0.5)
    assert distillation_ratio(0.85, 0.9, 0.9) is None


@pytest.mark.parametrize(
    ("layers", "width", "giga"), [(12, 768, 22.35), (6, 768, 11.17), (4, 768, 7.45), (24, 1024, 78.92)]
)
def test_flops_follow_the_formula(layers, width, giga):
    assert flops_of(layers=layers, width=width, tokens=128) / 1e9 == pytest.approx(giga, abs=0.0051)


def test_cost_of_a_tiny_model():
    model = tiny.classifier(seed=0, layers=2)
    found = cost_of(model, device=CPU, tokens=16)
    assert found.layers == 2
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.flops == 2 * 2 * (12 * 16 * 16**2 + 2 * 16**2 * 16)
    assert found.latency_ms > 0
    assert (found.device, found.threads) == ("cpu", 1)
    assert set(found.plain()) == {"parameters", "layers", "flops", "tokens", "latency_ms", "device", "threads"}


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_predictions_are_in_the_order_of_the_rows(batch_size):
    model, rows = tiny.classifier(seed=0, classes=3), tiny.random_rows(11, seed=2)
    found = predict(model, rows, batch_size=batch_size, device=CPU, precision="fp32")
    with torch.no_grad():
        each = [model(**rows.batch(np.array([i]), CPU)).logits[0] for i in range(11)]
    assert found.shape == (11, 3)
    np.testing.assert_allclose(found, torch.stack(each).numpy(), rtol=1e-4, atol=1e-5)
