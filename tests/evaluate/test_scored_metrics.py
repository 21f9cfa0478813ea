"""Metrics over scores: numbers worked by hand or by another formula, directions, and metrics of one's own."""

import sys

import numpy as np
import pytest

from kdray.corpora import CorpusSettings
from kdray.errors import ConfigError
from kdray.origin import shown
from kdray.tasks import METRICS, MULTI_LABEL, REGRESSION, get_metric, score_one, scores_by_class
from kdray.tasks.metrics import ECE_BINS

P = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]])
Y = np.array([0, 1, 0, 0])


def near(value):
    return pytest.approx(value, abs=1e-9)


def on_values(name, targets, values):
    return get_metric(name).compute(np.asarray(targets, float), np.asarray(values, float))


def test_scores_by_class_by_hand():
    logits = np.eye(3)[[0, 0, 1, 1, 0]]
    found = scores_by_class(np.array([0, 1, 1, 1, -1]), logits, ["a", "b", "c"])
    assert found["a"] == {"precision": 0.5, "recall": 1.0, "f1": near(2 / 3), "support": 1}
    assert found["b"] == {"precision": 1.0, "recall": near(2 / 3), "f1": near(0.8), "support": 3}
    assert found["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


@pytest.mark.parametrize("columns", [[0], [0, 1]])
def test_scores_by_label_by_hand(columns):
    targets, logits = np.array([[1, 0], [0, 1], [0, 0], [-1, -1]]), np.array([[3.0, 1], [-3, 1], [2, -1], [9, 9]])
    names = ["x", "y"][: len(columns)]
    found = scores_by_class(targets[:, columns], logits[:, columns], names, MULTI_LABEL)
    half = {"precision": 0.5, "recall": 1.0, "f1": near(2 / 3), "support": 1}
    assert found == dict.fromkeys(names, half)
    assert scores_by_class(np.array([0.5]), np.array([[0.4]]), ["value"], REGRESSION) == {}


def test_metrics_of_probabilities_by_hand():
    logits = np.log(P)
    assert score_one("log_loss", Y, logits) == near(-np.log([0.9, 0.6, 0.3, 0.8]).mean())
    assert score_one("brier", Y, logits) == near(2 * np.mean([0.01, 0.16, 0.49, 0.04]))
    assert score_one("auroc", Y, logits) == near(2 / 3)  # 0.6 is above 0.1 and 0.2, not above 0.7
    # bins (12/15, 13/15]: .8; (13/15, 14/15]: .9; (8/15, 9/15]: .6; (10/15, 11/15]: .7, which is wrong
    assert score_one("ece", Y, logits) == near((0.1 + 0.4 + 0.7 + 0.2) / 4)


def test_calibration_error_weighs_bins_by_their_rows():
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(500, 3)), draw.integers(0, 3, 500)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    top, right, total = p.max(1), p.argmax(1) == labels, 0.0
    for low in np.arange(ECE_BINS) / ECE_BINS:
        inside = (top > low) & (top <= low + 1 / ECE_BINS)
        total += abs(right[inside].mean() - top[inside].mean()) * inside.mean() if inside.any() else 0.0
    assert score_one("ece", labels, logits) == near(total)
    assert ECE_BINS == 15


def test_three_classes():
    draw = np.random.default_rng(1)
    logits, labels = draw.normal(size=(60, 3)), draw.integers(0, 3, 60)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert score_one("brier", labels, logits) == near(((p - np.eye(3)[labels]) ** 2).sum() / 60)
    areas = [np.mean(p[labels == k, k][:, None] > p[labels != k, k]) for k in range(3)]
    assert score_one("auroc", labels, logits) == near(np.mean(areas))


def test_several_labels_a_row():
    targets, p = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.9, 0.2], [0.4, 0.7], [0.3, 0.6]])
    classes = (p > 0.5).astype(int)
    assert get_metric("micro_f1").compute(targets, classes) == near(6 / 7)
    assert get_metric("macro_f1").compute(targets, classes) == near((2 / 3 + 1) / 2)
    assert get_metric("accuracy").compute(targets, classes) == near(2 / 3)
    assert get_metric("auroc").compute(targets, p) == near((1 / 2 + 1) / 2)
    assert get_metric("brier").compute(targets, p) == near(np.square(p - targets).mean())
    assert get_metric("log_loss").compute(targets, p) == near(-np.log([0.9, 0.8, 0.6, 0.7, 0.3, 0.6]).mean())


def test_metrics_of_values():
    assert on_values("pearson", [1, 2, 3, 4], [1, 2, 3, 5]) == near(6.5 / np.sqrt(5 * 8.75))
    assert on_values("spearman", [1, 2, 3, 4], [1, 10, 100, 50]) == near(0.8)
    assert on_values("mse", [1, 2], [2, 4]) == near(2.5)
    assert on_values("pearson", [1, 2, 3], [7, 7, 7]) == 0.0
    assert np.isnan(on_values("spearman", [2, 2, 2], [1, 2, 3]))


def test_directions():
    lower = {name for name, each in METRICS.items() if not each.higher_is_better}
    assert lower == {"log_loss", "brier", "ece", "mse"}
    assert get_metric("log_loss").is_better(0.1, 0.2)
    assert not get_metric("accuracy").is_better(0.1, 0.2)
    assert not get_metric("mse").is_better(0.2, 0.2)


def test_an_undefined_score_is_an_error_with_its_condition():
    with pytest.raises(
        ConfigError, match=r"^metric 'auroc' is not defined for these 2 rows: .* when all rows, or none"
    ):
        score_one("auroc", np.array([1, 1]), np.log(P[:2]))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """One file outside the package."""
    (tmp_path / "my_metrics.py").write_text(
        "import numpy as np\n"
        "from kdray.tasks import metric\n"
        "@metric(needs='probabilities', higher_is_better=False)\n"
        "def worst_case(targets, probabilities):\n"
        "    return 1 - probabilities[np.arange(len(targets)), targets].min()\n"
        "def plain(targets, classes):\n"
        "    return 0.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "my_metrics.py"
    sys.modules.pop("my_metrics", None)


def test_a_metric_of_ones_own_by_module_and_function(own):
    settings = CorpusSettings(name="rte", metrics=("my_metrics:worst_case", "accuracy"))
    assert shown(settings.main_metric) == "my_metrics:worst_case"
    assert not get_metric(settings.main_metric).higher_is_better
    assert score_one(settings.main_metric, Y, np.log(P)) == near(0.7)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my_metrics:plain", "^metric 'my_metrics:plain' is of type function; it must be a kdray"),
        ("my_metrics:worst", "^metric = 'my_metrics:worst': there is no such name in my_metrics; did you mean worst_"),
        ("my_metric:worst_case", r"^metric: module my_metric cannot be imported \(ModuleNotFoundError"),
        ("my_metric.py:worst_case", r"^metric: file my_metric\.py cannot be read in .*: No such file"),
        ("my_metrics.py:", r"^metric = 'my_metrics\.py:': expected module:NAME or file\.py:NAME\.$"),
        ("kdray.tasks.metrics:metric", "is kdray's own; use its name without module"),
    ],
)
def test_what_is_no_metric_is_refused_in_one_sentence(own, monkeypatch, name, sentence):
    monkeypatch.chdir(own.parent)
    with pytest.raises(ConfigError, match=sentence):
        get_metric(name)


def test_a_metric_that_raises_ends_in_a_sentence_with_its_line(own):
    own.write_text(own.read_text().replace("targets].min()", "len(targets)].min()"))
    with pytest.raises(ConfigError, match=r"metric my_metrics:worst_case: it raised IndexError: .* \(line 5\)\.$"):
        score_one("my_metrics:worst_case", Y, np.log(P))
