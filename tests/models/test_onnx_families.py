"""Each family is exported to ONNX with the logits of torch, or refused in a sentence, as docs/models.md has it."""

from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import torch

from kdray.errors import ConfigError
from kdray.export.graph import inputs_of, write_graph
from kdray.models import BiLSTM, Network, Static, TextCNN, keep_layers, load_classifier, load_tokenizer

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
DOCUMENTED = {
    cells[0].strip("` "): cells[3].strip()
    for cells in (line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| `"))
}


def random_rows(names: list[str], rows: int, tokens: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(rows * tokens)
    ids = torch.randint(5, 13, (rows, tokens), generator=draw)
    mask = torch.ones_like(ids)
    if tokens > 3:
        ids[0, -2:], mask[0, -2:] = 0, 0
    every = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    if tokens > 3:
        every["token_type_ids"][:, 2:] = 1
    return {name: every[name] for name in names}


def check_logits(model: Any, names: list[str], file: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file))
    for shape in ((1, 1), (1, 2), (2, 9), (3, 100)):
        batch = random_rows(names, *shape)
        with torch.no_grad():
            wanted = model(**batch).logits
        found = session.run(None, {key: value.numpy() for key, value in batch.items()})[0]
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4, rtol=0)
    assert wanted.std(0).min() > 1e-3, "logits that are all the same show nothing"


FAST = ("longformer", "modernbert")
EVERY = [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in (*families.SUPPORTED, "albert")]


@pytest.mark.parametrize("name", EVERY)
def test_the_graph_of_a_family_gives_the_logits_of_torch(name: str, tmp_path: Path) -> None:
    folder = families.save(tmp_path / "m", {**families.SUPPORTED, **families.REFUSED}[name], classes=3)
    model = load_classifier(folder, labels=("x", "y", "z"), seed=0)
    if name != "albert":
        keep_layers(model, (0,))
    names = list(inputs_of(load_tokenizer(folder, model)))
    file = tmp_path / "m.onnx"
    if DOCUMENTED[name] == "no":
        with pytest.raises(ConfigError, match=rf"^a model of family {name} cannot be exported to ONNX \(.*\)\.$"):
            write_graph(model, random_rows(names, 2, 9), file)
        return
    assert DOCUMENTED[name] == "yes"
    write_graph(model, random_rows(names, 2, 9), file)
    check_logits(model, names, file)


@pytest.mark.parametrize(
    "architecture",
    [
        TextCNN(filters=4, embedding=8),
        Static(hidden=4),
        BiLSTM(hidden=8, embedding=8, dense=8),
        pytest.param(BiLSTM(hidden=8, embedding=8, dense=8, layers=2), marks=pytest.mark.slow),
    ],
    ids=["textcnn", "static", "bilstm", "bilstm of two layers"],
)
def test_networks_are_exported_also_after_another_export(
    architecture: Network, tiny_encoder: Path, tmp_path: Path
) -> None:
    """The order of the list matters: an LSTM of several layers is traced after another one."""
    model = architecture.build(tiny_encoder, labels=("x", "y", "z"), seed=0)
    names = list(inputs_of(load_tokenizer(tiny_encoder, model)))
    write_graph(model, random_rows(names, 2, 9), tmp_path / "m.onnx")
    check_logits(model, names, tmp_path / "m.onnx")
