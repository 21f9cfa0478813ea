"""A bundle holds what it needs, gives the labels of its model without torch, and is refused where it would not."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made
import numpy as np
import onnxruntime
import pytest
import tiny
import torch

from kdray.errors import ConfigError, RunError
from kdray.export import graph, predict
from kdray.export.bundle import export_bundle, open_bundle
from kdray.export.card import bundle_card
from kdray.export.trained import TrainedModel, open_trained
from kdray.models import save_classifier
from kdray.store import Draft, Store

FORBIDDEN = ("torch", "transformers", "kdray", "onnx", "ray", "sklearn", "scipy", "pandas", "pyarrow")
ALONE = """
import importlib.abc, runpy, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {forbidden!r}:
            raise ImportError("a bundle must not import " + name)
sys.meta_path.insert(0, Refuse())
sys.argv = ["predict.py"]
runpy.run_path({script!r}, run_name="__main__")
"""


def torch_labels(model: TrainedModel, *columns: list[str]) -> list[str]:
    logits = model.logits(model.load_model(), model.shortened(columns), precision="fp32")
    return [model.outputs[number] for number in logits.argmax(1)]


def alone(folder: Path, rows: list[Any]) -> list[dict[str, Any]]:
    """What `predict.py` prints in a process that cannot import torch, transformers or kdray."""
    code = ALONE.format(forbidden=FORBIDDEN, script=str(folder / "predict.py"))
    lines = "\n".join(json.dumps(row) for row in rows)
    done = subprocess.run([sys.executable, "-I", "-c", code], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_gives_the_labels_of_torch_without_torch_transformers_or_kdray(
    model: TrainedModel, onnx_bundle: Path
) -> None:
    texts = [*made.TEXTS, "", "unknown words", "good " * 100]
    found = alone(onnx_bundle, texts)
    assert [row["label"] for row in found] == torch_labels(model, texts)
    assert len({row["label"] for row in found}) == 2
    assert all(sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5) for row in found)
    assert alone(onnx_bundle, [{"text": texts[0]}, [texts[0]]]) == [found[0]] * 2


def test_it_holds_its_model_scripts_pins_and_card(onnx_bundle: Path) -> None:
    assert {file.name for file in onnx_bundle.iterdir()} == {
        *("model.onnx", "tokenizer.json", "bundle.json", "README.md"),
        *("predict.py", "requirements.txt", "Dockerfile"),
    }
    about = json.loads((onnx_bundle / "bundle.json").read_text())
    assert about["labels"] == list(tiny.LABELS)
    assert about["proof"]["rows"] == 60
    assert about["proof"]["difference"] <= 1e-4
    assert about["proof"]["equal_labels"] == about["proof"]["equal_edges"] == 1
    saved = json.loads((onnx_bundle / "tokenizer.json").read_text())
    assert saved["truncation"]["max_length"] == tiny.MAX_LENGTH
    assert saved["truncation"]["direction"] == saved["padding"]["direction"] == "Right"
    pins = dict(line.split("==") for line in (onnx_bundle / "requirements.txt").read_text().split())
    assert pins == {name: about["versions"][name] for name in ("onnxruntime", "tokenizers", "numpy")}
    page = (onnx_bundle / "README.md").read_text()
    assert f"| 60 rows of rows.jsonl (accuracy) | {about['proof']['model_score']:.4f} |" in page
    assert about["training"] == {}  # nothing is known of a plain folder
    assert "It was trained" not in page


def test_card_tells_how_the_model_was_trained(onnx_bundle: Path) -> None:
    about = json.loads((onnx_bundle / "bundle.json").read_text())
    method = {"name": "kd", "temperature": 4.12345, "temperature_end": None}
    training = {
        "rows": 1200,
        "epochs": 2,
        "seed": 3,
        "method": method,
        "teachers": {"one": {"accuracy": 0.9}, "two": {}},
    }
    sentence = (
        "It was trained on 1,200 rows by the method `kd` (temperature = 4.123), from one (accuracy 0.9000 on test) "
        "and two, in 2 epochs, with the seed 3."
    )
    assert sentence in bundle_card({**about, "training": training})


def test_batch_and_length_are_free(onnx_bundle: Path) -> None:
    session: Any = onnxruntime.InferenceSession(str(onnx_bundle / "model.onnx"))
    for shape in ((1, 1), (1, 32), (7, 5)):
        ids = np.full(shape, 5, np.int64)
        feed = {each.name: ids if each.name == "input_ids" else np.ones_like(ids) for each in session.get_inputs()}
        assert session.run(None, feed)[0].shape == (shape[0], 2)


def test_each_argument_is_a_row_of_one_text(onnx_bundle: Path) -> None:
    command = [sys.executable, str(onnx_bundle / "predict.py"), "one text", "another text"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(ended.stdout.splitlines()) == 2


def test_a_terminal_gets_a_line_about_what_is_read(onnx_bundle: Path) -> None:
    ours, its = pty.openpty()
    with os.fdopen(its) as terminal, os.fdopen(ours, "wb") as keys:
        keys.write(b'"a good film"\n\x04')  # Ctrl-D
        keys.flush()
        command = [sys.executable, str(onnx_bundle / "predict.py")]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=True)
    assert 'reads lines from the terminal, such as "a text"; Ctrl-D ends them.' in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "a good film",
            "line 2 of standard input is no JSON (Expecting value); a line is such as",
        ),
        ("[1]", "line 2 of standard input is [1]; expected one text for each of: text."),
        ("1", "line 2 of standard input is 1; expected one text for each of: text."),
        ('{"review": "a"}', "line 2 of standard input has no key 'text'; a line is such as \"a text\"."),
    ],
)
def test_the_script_refuses_bad_lines_in_one_sentence(onnx_bundle: Path, line: str, said: str) -> None:
    command = [sys.executable, str(onnx_bundle / "predict.py")]
    done = subprocess.run(command, input=f'"fine"\n{line}', capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr


def test_an_existing_folder_is_refused(model: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="out: the folder exists already; give another one"):
        export_bundle(model, tmp_path / "out", evidence=made.evidence(model, tmp_path))


@pytest.mark.parametrize("format", ["hf", "onnx"])
def test_a_folder_within_the_model_or_an_artifact_is_refused(model: TrainedModel, tmp_path: Path, format: Any) -> None:
    def build(draft: Draft) -> dict[str, Any]:
        shutil.copytree(model.folder, draft.file("model"))
        return {}

    made_artifact, _ = Store(str(tmp_path / "store")).make("distill", "s", settings={}, inputs={}, build=build)
    own, evidence = shutil.copytree(model.folder, tmp_path / "own"), made.evidence(model, tmp_path)
    (tmp_path / "link").symlink_to(own)
    for out, what in (
        (own / "x", "own is the folder of a model"),
        (tmp_path / "link" / "a" / "x", "own is the folder of a model"),
        (made_artifact.folder / "model" / "x", "model is the folder of a model"),
        (made_artifact.folder / "x", "is an artifact of a store"),
    ):
        with pytest.raises(ConfigError, match=f"x: .*{what}, to which no file may be added; give a folder outside it"):
            export_bundle(model, out, format=format, evidence=evidence)
    assert {path.name for path in own.iterdir()} == {path.name for path in model.folder.iterdir()}
    assert {path.name for path in made_artifact.path.iterdir()} == {"model", "manifest.json"}


def test_a_graph_with_other_logits_is_refused_with_figures_and_leaves_nothing(
    model: TrainedModel, tmp_path: Path, same_graph: None
) -> None:
    other, tokenizer = model.load_model()
    with torch.no_grad():
        other.classifier.bias += 0.001
    save_classifier(other, tokenizer, tmp_path / "other", max_length=tiny.MAX_LENGTH)
    evidence = made.evidence(model, tmp_path)
    with pytest.raises(RunError, match=r"refused, logits differ by more than 0\.0001.*: largest difference 0\.001 in"):
        export_bundle(TrainedModel(tmp_path / "other", model.reading, {}), tmp_path / "out", evidence=evidence)
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl", "other"}


def test_a_model_that_cannot_be_traced_is_refused_in_one_sentence(tmp_path: Path) -> None:
    class Untraceable(torch.nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return [0] * int(input_ids.sum())

    batch = {name: torch.ones(2, 3, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    with pytest.raises(ConfigError, match=r"^a model of family Untraceable cannot be exported to ONNX \(.*\)\.$"):
        graph.write_graph(Untraceable(), batch, tmp_path / "m.onnx")


def test_a_missing_package_is_named(model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(ConfigError, match=r"needs no_such_package: pip install 'kdray\[export\]'"):
        export_bundle(model, tmp_path / "out", evidence=made.evidence(model, tmp_path))


def test_a_task_from_outside_is_refused(model: TrainedModel, tmp_path: Path) -> None:
    evidence = made.evidence(model, tmp_path)
    other = TrainedModel(model.folder, made.reading(task="counting:COUNTS"), {})
    with pytest.raises(ConfigError, match="'counting:COUNTS' turns logits into predictions by code of its own"):
        export_bundle(other, tmp_path / "out", evidence=evidence)


def test_an_hf_bundle_is_read_by_transformers_and_by_kdray(model: TrainedModel, tmp_path: Path) -> None:
    import transformers

    about = export_bundle(model, tmp_path / "out", format="hf", evidence=made.evidence(model, tmp_path))
    classify: Any = transformers.pipeline("text-classification", str(tmp_path / "out"), truncation=True)
    right = [found["label"] == label for found, label in zip(classify(made.TEXTS), made.LABELS, strict=True)]
    assert np.mean(right) == pytest.approx(about["proof"]["score"])
    again = open_trained(tmp_path / "out")
    assert again.reading == model.reading
    assert torch_labels(again, made.TEXTS) == torch_labels(model, made.TEXTS)


def test_a_student_of_pruned_texts_takes_its_pruner_along(
    model: TrainedModel, tmp_path: Path, same_graph: None
) -> None:
    found = made.pruner()
    pruned = TrainedModel(model.folder, model.reading, {}, found)
    texts = [f"{a}. It was a film. {b}! very, very" for a, b in zip(made.TEXTS, reversed(made.TEXTS), strict=True)]
    texts += ["", "...", "Mr. A. was. It? \u2026 no.", "one. two. three. four. good. bad."]
    out = tmp_path / "out"
    rows = {"text": [text for text in texts if text], "label": ["positive"] * (len(texts) - 1)}
    export_bundle(pruned, out, evidence=made.evidence(pruned, tmp_path, **rows))
    assert not (out / "__pycache__").exists()
    assert predict.own_pruner(out, out)(texts) == found.prune(texts) != texts
    assert [row["label"] for row in alone(out, texts)] == torch_labels(pruned, texts)
    assert "`predict.py` shortens each text first" in (out / "README.md").read_text()


def test_a_bundle_that_prunes_in_another_way_is_refused(
    model: TrainedModel, tmp_path: Path, same_graph: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = TrainedModel(model.folder, model.reading, {}, made.pruner())
    texts = [f"{text}. a film." for text in made.TEXTS]
    evidence = made.evidence(pruned, tmp_path, text=texts, label=made.LABELS)
    monkeypatch.setattr(predict, "own_pruner", lambda folder, code: list)
    with pytest.raises(RunError, match="the exported pruner shortens texts of text in another way"):
        export_bundle(pruned, tmp_path / "out", evidence=evidence)


def test_pairs_are_read_as_pairs(model: TrainedModel, tmp_path: Path, same_graph: None) -> None:
    pairs = TrainedModel(model.folder, made.reading(fields=("one", "two")), {})
    columns = {"one": made.TEXTS, "two": made.TEXTS[::-1]}
    about = export_bundle(
        pairs, tmp_path / "out", evidence=made.evidence(pairs, tmp_path, **columns, label=made.LABELS)
    )
    assert about["proof"]["edge_cases"] == 13
    rows = list(zip(*columns.values(), strict=True))
    assert [row["label"] for row in alone(tmp_path / "out", rows)] == torch_labels(pairs, *columns.values())
    assert 'predict.py "a text" "a text"' in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ValueError, match=r"texts\[1\] is 'x'; expected one text for each of: one, two"):
        predict.load(tmp_path / "out").logits([("a", "b"), "x"])


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_give_labels_or_values(task: str, model: TrainedModel, onnx_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(onnx_bundle, tmp_path / "out")
    made.change(folder, task=task)
    logits = model.logits(model.load_model(), [made.TEXTS], precision="fp32")
    for found, row in zip(alone(folder, made.TEXTS), logits, strict=True):
        if task == "regression":
            assert found == {"value": pytest.approx(float(row[0]), abs=1e-4)}
        else:
            assert found["labels"] == [label for label, value in zip(tiny.LABELS, row, strict=True) if value >= 0]
            assert list(found["probabilities"].values()) == pytest.approx(1 / (1 + np.exp(-row)), abs=1e-4)


GRAPH, NAMES = "model.onnx", ["predict.py", "tokenizer.json", "model.onnx"]
DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no labels": (lambda f: made.change(f, labels=[]), r"bundle\.json has labels that are not distinct texts"),
    "equal labels": (lambda f: made.change(f, labels=["a", "a"]), r"bundle\.json has labels that are not distinct"),
    "labels that are numbers": (lambda f: made.change(f, labels=[0, 1]), r"bundle\.json has labels that are not"),
    "more labels": (
        lambda f: made.change(f, labels=["a", "b", "c"]),
        r"model\.onnx gives logits of shape \[1, 2\] for one row and 3 labels",
    ),
    "no fields": (lambda f: made.change(f, fields=[]), r"bundle\.json has fields that are not one or two"),
    "an empty field": (lambda f: made.change(f, fields=[""]), r"bundle\.json has fields that are not one or two"),
    "three fields": (lambda f: made.change(f, fields=["a", "b", "c"]), r"bundle\.json has fields that are not one or"),
    "a length of text": (lambda f: made.change(f, max_length="9"), r"bundle\.json has max_length = '9'; allowed are"),
    "no length": (lambda f: made.change(f, max_length=True), r"bundle\.json has max_length = True; allowed are"),
    "another task": (lambda f: made.change(f, task="x"), r"bundle\.json has the format 'onnx' and the task 'x'; allow"),
    "another format": (lambda f: made.change(f, format=[]), r"bundle\.json has the format \[\] and the task"),
    "pruning without a pruner": (
        lambda f: made.change(f, prunable=["text"]),
        r"bundle\.json has prunable = \['text'\]; allowed are its fields, and none without pruner\.json",
    ),
    "int8 of another kind": (lambda f: made.change(f, int8=[1]), r"bundle\.json has int8 without reduce_range"),
    "a file outside": (lambda f: made.change(f, files={"../x": "0"}), r"bundle\.json has other files than model\.onnx"),
    "files as a list": (lambda f: made.change(f, files=NAMES), r"bundle\.json has other files than model\.onnx"),
    "a value changed": (
        lambda f: (f / "bundle.json").write_text((f / "bundle.json").read_text().replace("positive", "neutral")),
        r"bundle\.json is damaged, was changed, or is of an earlier version",
    ),
    "not JSON": (lambda f: (f / "bundle.json").write_text("{"), r"bundle\.json cannot be read \(JSONDecodeError"),
    "deep JSON": (lambda f: (f / "bundle.json").write_text("[" * 10**5), r"bundle\.json cannot be read \(Recursion"),
    "a list": (lambda f: (f / "bundle.json").write_text("[]"), r"bundle\.json is damaged, was changed, or"),
    "another graph": (lambda f: (f / GRAPH).write_bytes(b"x"), r"model\.onnx is not the file that was exported"),
    "another tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), r"tokenizer\.json is not the file that"),
    "another script": (lambda f: (f / "predict.py").write_text(""), r"predict\.py is not the file that was exported"),
    "no graph": (lambda f: (f / GRAPH).unlink(), r"model\.onnx cannot be read \(FileNotFoundError"),
    "a pipe": (
        lambda f: ((f / GRAPH).unlink(), os.mkfifo(f / GRAPH)),
        r"model\.onnx cannot be read \(OSError: it is no",
    ),
    "a graph of nothing": (
        lambda f: ((f / GRAPH).write_bytes(b"x"), made.change(f)),
        r"model\.onnx is no graph that can be run \(InvalidProtobuf",
    ),
    "a tokenizer of nothing": (
        lambda f: ((f / "tokenizer.json").write_text("{}"), made.change(f)),
        r"tokenizer\.json is no tokenizer \(Exception",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_bundle_that_is_damaged_or_changed_is_refused_with_its_file(
    kind: str, onnx_bundle: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(onnx_bundle, tmp_path / "out")
    damage, said = DAMAGED[kind]
    damage(folder)
    said = rf"^{re.escape(str(folder))}/{said}.*; export the bundle again\.$"
    with pytest.raises(ValueError, match=said):
        predict.load(folder)
    with pytest.raises(ConfigError, match=said):
        open_bundle(folder)


def test_the_script_refuses_a_damaged_bundle_in_one_sentence(onnx_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(onnx_bundle, tmp_path / "out")
    (folder / GRAPH).write_bytes(b"x")
    command = [sys.executable, str(folder / "predict.py"), "a film"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith(f"predict.py: {folder}/model.onnx is not the file that was exported")
