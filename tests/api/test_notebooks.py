"""The notebooks run from top to bottom, in an empty folder, without network."""

import ast
import json
from pathlib import Path

import pages
import pytest

NOTEBOOKS = sorted((pages.ROOT / "docs/notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def test_there_are_two() -> None:
    assert NAMES == ["own-loss", "quickstart"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=NAMES)
def test_notebook_is_kept_without_outputs_and_is_python(notebook: Path) -> None:
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            code = "".join(cell["source"])
            ast.parse("\n".join(line for line in code.splitlines() if not line.startswith("%%")))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=NAMES)
def test_notebook_runs_with_a_tiny_encoder(
    notebook: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = {'ENCODER = "minilm"': f"ENCODER = {str(tiny_encoder)!r}", "200": "64"}  # rows
    _run(notebook, tmp_path, monkeypatch, replaced)


@pytest.mark.soak
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=NAMES)
def test_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(notebook, tmp_path, monkeypatch, {})


def _run(notebook: Path, where: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, str]) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(pages.ROOT))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = notebook.read_text()
    for before, after in replaced.items():
        before, after = (json.dumps(each)[1:-1] for each in (before, after))
        assert before in text
        text = text.replace(before, after)
    document = nbformat.reads(text, as_version=4)
    NotebookClient(document, timeout=600, resources={"metadata": {"path": str(where)}}).execute()
    shown = json.dumps(document.cells)
    assert "accuracy" in shown or "no-KD baseline" in shown
    assert (where / "store").is_dir()
