"""A saved student of random weights, and its ONNX bundle."""

from pathlib import Path

import numpy as np
import pytest
import tagged
import tiny
from served import TEXTS

from kdray.export.bundle import export_bundle, write_saved
from kdray.export.evidence import Evidence
from kdray.export.trained import Reading, TrainedModel
from kdray.tasks import NO_WORD, tags_of


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    tiny.save_fine_tuned(folder / "hf", tiny.classifier(seed=1), tiny.LABELS)
    reading = Reading(
        labels=tiny.LABELS,
        fields=("text",),
        prunable=(),
        max_length=tiny.MAX_LENGTH,
        precision="fp32",
        task="single_label",
        metrics=("accuracy",),
    )
    write_saved(TrainedModel(folder / "hf", reading, {}), folder / "student")
    return folder / "student"


@pytest.fixture(scope="session")
def bundle(student: Path) -> Path:
    from kdray.export.trained import open_trained

    rows = Evidence("rows of a test", [TEXTS], np.array([1, 0, 0, 1]), [TEXTS], "rows of a test")
    out = student.parent / "bundle"
    export_bundle(open_trained(student), out, format="onnx", evidence=rows)
    return out


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of random weights that tags tokens."""
    folder, labels = tmp_path_factory.mktemp("tagger"), tags_of(tagged.TYPES)
    tiny.save_fine_tuned(folder / "hf", tiny.token_classifier(seed=5, classes=len(labels)), labels)
    reading = Reading(
        labels=labels,
        fields=("tokens",),
        prunable=(),
        max_length=tiny.MAX_LENGTH,
        precision="fp32",
        task="token_classification",
        metrics=("entity_f1",),
    )
    write_saved(TrainedModel(folder / "hf", reading, {}), folder / "student")
    return folder / "student"


@pytest.fixture(scope="session")
def tag_bundle(tagger: Path) -> Path:
    from kdray.export.trained import open_trained

    rows, tags = [["good", "film"], ["it"]], np.array([[1, 2], [0, NO_WORD]])
    evidence = Evidence("rows of a test", [rows], tags, [rows], "rows of a test")
    out = tagger.parent / "bundle"
    export_bundle(open_trained(tagger), out, format="onnx", evidence=evidence)
    return out
