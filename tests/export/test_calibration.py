"""The temperature and the threshold of a bundle: how they are found, and that all readers use them."""

from pathlib import Path
from typing import Any

import made
import numpy as np
import pytest

from kdray.errors import ConfigError
from kdray.export import predict
from kdray.export.bundle import export_bundle
from kdray.export.calibration import calibration
from kdray.export.trained import TrainedModel
from kdray.serve.loading import open_scorer

LOGITS = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]], np.float32)
TARGETS = np.array([0, 0, 1, 1])


def test_the_temperature_is_the_one_of_the_smallest_log_loss() -> None:
    """Three of four are right, so the best probability is 3/4: 2 / T = log 3."""
    found = calibration(LOGITS, TARGETS, "single_label")
    assert found["temperature"] == pytest.approx(2 / np.log(3), rel=1e-3)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert found["log_loss"]["after"] == pytest.approx(entropy, abs=1e-5)
    assert found["log_loss"]["before"] > entropy + 0.01
    assert found["ece"]["after"] == pytest.approx(0, abs=1e-3) != found["ece"]["before"]
    assert calibration(3 * LOGITS, TARGETS, "single_label")["temperature"] == pytest.approx(6 / np.log(3), rel=1e-3)


def test_a_task_without_probabilities_is_refused() -> None:
    with pytest.raises(ConfigError, match="the task regression has no probabilities"):
        calibration(LOGITS[:, :1], TARGETS.astype(np.float32), "regression")


def test_every_reader_of_a_bundle_uses_temperature_and_threshold(
    model: TrainedModel, onnx_bundle: Path, same_graph: None, tmp_path: Path
) -> None:
    labels = [made.LABELS[0], *made.LABELS[2:3], *made.LABELS[2:]]  # one wrong: no infinite confidence is best
    rows = made.evidence(model, tmp_path, text=made.TEXTS[: len(labels)], label=labels)
    about = export_bundle(model, tmp_path / "bundle", evidence=rows, calibrate=True, abstain_below=0.999)
    temperature = about["temperature"]
    plain, found = (predict.load(folder) for folder in (onnx_bundle, tmp_path / "bundle"))
    logits = plain.logits(made.TEXTS)
    np.testing.assert_array_equal(found.logits(made.TEXTS), logits)
    scaled = np.exp(logits / temperature)
    wanted = scaled / scaled.sum(axis=1, keepdims=True)
    given = found.predict(made.TEXTS)
    np.testing.assert_allclose([list(each["probabilities"].values()) for each in given], wanted, atol=1e-5)
    assert [each["label"] is None for each in given] == [max(row) < 0.999 for row in wanted]
    scorer = open_scorer(tmp_path / "bundle")
    np.testing.assert_allclose(scorer.score([(text,) for text in made.TEXTS]).values, wanted, atol=1e-5)
    assert scorer.abstain_below == 0.999
    card = (tmp_path / "bundle/README.md").read_text()
    assert f"divided by the temperature {temperature:.3f}" in card
    assert "probability below 0.999 get no label" in card


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "hf", "calibrate": True}, "a folder of transformers has no place"),
        ({"format": "hf", "abstain_below": 0.5}, "a folder of transformers has no place"),
        ({"abstain_below": 1.5}, "--abstain-below 1.5: it must be 0 to 1"),
    ],
)
def test_a_threshold_without_effect_is_refused(
    model: TrainedModel, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        export_bundle(model, tmp_path / "bundle", evidence=made.evidence(model, tmp_path), **options)


@pytest.mark.parametrize("values", [{"temperature": 0.0}, {"temperature": "1"}, {"abstain_below": 2.0}])
def test_a_bundle_with_other_values_is_refused(onnx_bundle: Path, values: dict[str, Any]) -> None:
    about = predict.read_about(onnx_bundle) | values
    assert next(iter(values)) in str(predict._fault_of(about))
