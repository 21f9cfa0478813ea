"""Bundles where nothing but their requirements is installed: `python benchmarks/bare.py --work DIR`.

Small students are trained for a moment on rows of SST-2, MRPC (pairs), German rows of SIB-200, and pruned texts of
RTE, and exported to ONNX in fp32 and int8. A virtual environment gets what the bundle's requirements.txt names, in
the versions of constraints.txt, and `predict.py` reads rows there. Its labels are compared with torch's and, with the
same bundle, kdray's. The exit code is 1 if a label of fp32 differs from torch's, or one of either format from
kdray's, if an export is refused, or if a student gives one label only, which would prove nothing; int8 may differ from
torch by what its export allows. Everything made is kept in `--work` and reused.
"""

import argparse
import json
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

import kdray as kd
from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import StoredCorpus, load_corpus
from kdray.errors import ConfigError, RunError
from kdray.export.bundle import open_bundle
from kdray.tasks import get_task

FORMATS = ("onnx", "onnx-int8")
FOREIGN = ("torch", "transformers", "kdray", "onnx", "ray")  # must not be there
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
CASES: dict[str, dict[str, Any]] = {
    "sst2": {"name": "sst2", "limit": 1000},
    "mrpc": {"name": "mrpc", "limit": 3000},
    "sib200, German": {"name": "sib200", "train_languages": ("deu_Latn",)},
    "rte, pruned": {"name": "rte", "limit": 1000},
}
EPOCHS = {"sst2": 5, "mrpc": 4, "sib200, German": 14, "rte, pruned": 5}  # after which no student has one label only
START = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("bare-work"), help="keeps models, bundles and results")
    parser.add_argument("--venv", type=Path, help="an environment to use as it is (default: a new one in --work)")
    parser.add_argument("--cases", default=";".join(CASES), help="separated by semicolons")
    parser.add_argument("--layers", type=int, default=3, help="of MiniLM")
    parser.add_argument("--epochs", type=int, help="of every student (default: 4 to 14, by case)")
    parser.add_argument("--rows", type=int, default=1000, help="whose labels are compared")
    parser.add_argument("--proof-rows", type=int, default=300, help="validation rows that an export is compared on")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="of the trainings")
    arguments = parser.parse_args()
    cases = arguments.cases.split(";")
    if unknown := [case for case in cases if case not in CASES]:
        raise ConfigError(f"--cases {unknown[0]!r} is unknown; known are {'; '.join(CASES)}.")
    arguments.work.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    python: Path | None = None
    for case in cases:
        student, rows = _student(case, arguments)
        for format in FORMATS:
            try:
                bundle = _bundle(student, case, format, arguments)
            except RunError as error:  # it does not agree with the student
                say(f"{case}, {format}: {error}")
                found.append({"student": case, "format": f"{format}, refused"})
                continue
            python = python or _bare(arguments.venv or arguments.work / "venv", bundle)
            say(f"{case}, {format}: {len(rows)} rows by predict.py")
            found.append({"student": case, "format": format, **_compared(student, bundle, rows, python)})
    print("\n" + table(found))
    (arguments.work / "bare.json").write_text(json.dumps(found, indent=1) + "\n")
    if any(_is_wrong(row) for row in found):
        raise RunError("labels differ, an export was refused, or a student gives one label only; see the table.")


def _is_wrong(row: dict[str, Any]) -> bool:
    if "rows" not in row or row["differ from kdray"] or row["labels"] < 2:
        return True
    return row["format"] == "onnx" and row["differ from torch"] > 0


def say(what: str) -> None:
    print(f"[{time.monotonic() - START:7.1f} s] {what}", flush=True)


def _student(case: str, arguments: argparse.Namespace) -> tuple[kd.Student, list[tuple[str, ...]]]:
    """A student that was trained for a moment, and rows of its corpus: of test, then validation, then train."""
    epochs = arguments.epochs or EPOCHS[case]
    say(f"{case}: {arguments.layers} layers, {epochs} epochs")
    settings, store = dict(CASES[case]), str(arguments.work / "store")
    data: Any = kd.Dataset.load(**settings)
    if case.endswith("pruned"):
        data = kd.prune(data, level="sentence", keep_medoids="none", store=store)
    train = {"epochs": epochs, "learning_rate": 1e-4, "max_length": 64, "precision": arguments.precision}
    student = kd.distill(None, data, student=kd.Encoder("minilm", layers=arguments.layers), train=train, store=store)
    assert student.corpus is not None
    corpus = load_corpus(student.corpus)
    languages = settings.get("train_languages", ())
    rows = [row for split in ("test", "validation", "train") for row, _ in _rows(corpus, split, languages)]
    proof = _rows(corpus, "validation", languages)[: arguments.proof_rows]
    names = (*student.reading.fields, "label")
    lines = [json.dumps(dict(zip(names, (*row, label), strict=True))) for row, label in proof]
    _proof_file(case, arguments).write_text("\n".join(lines) + "\n")
    return student, rows[: arguments.rows]


def _rows(corpus: StoredCorpus, split: str, languages: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    """Texts and label of each row; of these languages, where there are any."""
    found = corpus.table(split)
    columns = [found[field.name].to_pylist() for field in corpus.task.fields]
    labels = [corpus.task.labels[number] for number in corpus.labels(split)]
    rows = list(zip(zip(*columns, strict=True), labels, strict=True))
    spoken = corpus.languages(split) if languages else None
    return rows if spoken is None else [row for row, each in zip(rows, spoken, strict=True) if each in languages]


def _proof_file(case: str, arguments: argparse.Namespace) -> Path:
    return arguments.work / f"{_plain(case)}.jsonl"


def _plain(case: str) -> str:
    return case.replace(", ", "-").lower()


def _bundle(student: kd.Student, case: str, format: Any, arguments: argparse.Namespace) -> Path:
    bundle = arguments.work / f"{_plain(case)}-{format}-{student.folder.parent.name[-12:]}"
    if not bundle.exists():
        say(f"{case}: export to {format}")
        student.export(bundle, format=format, data=_proof_file(case, arguments))
    return bundle


def _bare(folder: Path, bundle: Path) -> Path:
    """The Python of an environment with what the bundle requires.

    Raises:
        ConfigError: It has more than that.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        say(f"installing {bundle / 'requirements.txt'} into {folder}")
        venv.create(folder, with_pip=True)
        pip = [python, "-m", "pip", "install", "-q", "-r", bundle / "requirements.txt", "-c", CONSTRAINTS]
        subprocess.run(pip, check=True)
    code = f"import importlib.util; print(*[n for n in {FOREIGN!r} if importlib.util.find_spec(n)])"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    if done.stdout.strip():
        raise ConfigError(f"{folder} has {done.stdout.strip()}, which a bundle does not need; give a new folder.")
    return python


def _compared(student: kd.Student, bundle: Path, rows: list[tuple[str, ...]], python: Path) -> dict[str, Any]:
    start = time.monotonic()
    lines = "\n".join(json.dumps(row) for row in rows)
    done = subprocess.run(
        [python, "-I", bundle / "predict.py"], input=lines, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - start
    if done.returncode:
        raise RunError(f"{bundle / 'predict.py'} ended with {done.returncode}: {done.stderr.strip()}")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    bare = [record["label"] for record in records]
    values = np.array([[record["probabilities"][name] for name in student.outputs] for record in records])
    texts = [list(column) for column in zip(*rows, strict=True)]
    shortened = student.shortened(texts)
    logits = student.logits(student.load_model(), shortened, precision="fp32")
    probabilities = np.asarray(get_task(student.reading.task).predictions(logits).probabilities)
    torch = [student.outputs[number] for number in probabilities.argmax(1)]
    own = [record["label"] for record in open_bundle(bundle).predict(rows)]
    return {
        "rows": len(rows),
        "shortened": sum(
            one != other for one, other in zip(zip(*texts, strict=True), zip(*shortened, strict=True), strict=True)
        ),
        "labels": len(set(torch)),
        "difference": round(float(np.abs(values - probabilities).max()), 6),
        "differ from torch": sum(one != other for one, other in zip(bare, torch, strict=True)),
        "differ from kdray": sum(one != other for one, other in zip(bare, own, strict=True)),
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))
