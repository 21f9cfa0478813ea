"""One trained model and one traced graph for all tests of bundles: tracing takes seconds."""

import shutil
from pathlib import Path

import made
import pytest

from kdray.export import bundle as bundles
from kdray.export.bundle import export_bundle
from kdray.export.trained import TrainedModel


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return made.trained(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def onnx_bundle(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    export_bundle(model, folder / "bundle", format="onnx", evidence=made.evidence(model, folder))
    return folder / "bundle"


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return made.trained_on_tags(tmp_path_factory.mktemp("tagger"))


@pytest.fixture(scope="session")
def tag_bundle(tagger: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags")
    export_bundle(tagger, folder / "bundle", format="onnx", evidence=made.evidence(tagger, folder, **made.TAGGED))
    return folder / "bundle"


@pytest.fixture
def same_graph(onnx_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is exported again has the graph of `onnx_bundle`."""
    graph = onnx_bundle / "model.onnx"
    monkeypatch.setattr(bundles, "write_graph", lambda module, batch, file: shutil.copyfile(graph, file))
