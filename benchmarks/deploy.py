"""From a teacher of 12 layers to students in int8: accuracy, latency and size of each step.

    KDRAY_DATA=... python benchmarks/deploy.py --teacher FOLDER [--rows N] [--epochs 3] [--method METHOD] [--seeds 3]

The teacher (an encoder folder, 12 x 768 in the published table) is fine-tuned on SST-2, or on `--csv FILE` with the
columns text and label; students of 6 and 3 layers of MiniLM (x 384), or of `--layers`, are distilled from it by
`--method`. Each is measured in torch fp32 and, where the processor has instructions for it, bf16, and exported to
ONNX in fp32 and int8: accuracy on all test rows (of SST-2 the 872 dev rows), p50 and p95 of one text with its
tokenizer on one thread, megabytes, and times faster than the teacher in torch fp32. Bundles are scored one text at a
time, as they are timed: in int8 the rows of a batch change each other's logits. Everything made is kept in `--work`
and reused. Targets: a student at least 23 times faster than the teacher; int8 within 0.5 points of its own fp32.

With `--seeds N` the students of each depth are then trained on N seeds by each of `--methods`, and without KD on equal
steps; one table a depth has means, deviations and tests.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import kdray as kd
from kdray import compat
from kdray.cli.show import table
from kdray.corpora import kdray_data, load_corpus
from kdray.errors import KdrayError
from kdray.export.bundle import open_bundle
from kdray.methods import parse_method
from kdray.stages import Context, InProcess, read
from kdray.store import Store

FORMATS = ("onnx", "onnx-int8")
TIMES, POINTS = 23.0, 0.5
START = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--teacher", default="minilm", help="encoder to fine-tune, for example a folder of 12 x 768")
    parser.add_argument("--rows", type=int, help="training rows (default: all)")
    parser.add_argument("--csv", type=Path, help="own rows with the columns text and label, instead of SST-2")
    parser.add_argument("--layers", default="6,3", help="of the students, separated by commas")
    parser.add_argument("--method", default="kd", help="of the students: a name, or '{name: kd, alpha: 0.7}'")
    parser.add_argument("--epochs", type=int, default=3, help="of the students")
    parser.add_argument("--teacher-epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=0, help="of the comparison with no KD; 0 leaves it out")
    parser.add_argument("--methods", default="kd", help="of the comparison, separated by commas")
    parser.add_argument("--work", type=Path, default=Path("deploy-work"), help="keeps models, bundles and results")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row of the table")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of the trainings")
    parser.add_argument("--export-teacher", action="store_true", help="export the teacher too, which takes minutes")
    parser.add_argument("--full", action="store_true", help="all batch sizes and numbers of threads, for the JSON")
    arguments = parser.parse_args()
    data = _data(arguments)
    teacher = _teacher(arguments, data)
    models = _models(teacher, arguments, data)
    texts, targets = _test_rows(data, arguments.work)
    say(f"{len(texts)} test rows, median of {int(np.median([len(text.split()) for text in texts]))} words")
    exported = set(models) if arguments.export_teacher else set(models) - {"teacher"}
    scores = _scores(models, exported, texts, targets, arguments.work)
    say("timing starts; nothing else should run on this machine")
    grid: dict[str, Any] = {} if arguments.full else {"batches": (1,), "threads": [1]}
    measured = kd.benchmark(list(scores), texts=texts, seconds=arguments.seconds, **grid)
    rows = _table(scores, measured)
    print("\n" + table(rows))
    print(f"\n{measured.load.sentence or 'The machine was quiet.'}")
    _print_result(rows)
    document = {"rows": rows, **measured.plain()}
    (arguments.work / "deploy.json").write_text(json.dumps(document, indent=1) + "\n")
    if arguments.seeds:
        document["comparisons"] = _compare(teacher, arguments, data)
        (arguments.work / "deploy.json").write_text(json.dumps(document, indent=1) + "\n")
    say(f"everything is in {arguments.work / 'deploy.json'}")


def say(what: str) -> None:
    print(f"[{time.monotonic() - START:7.1f} s] {what}", flush=True)


def _data(arguments: argparse.Namespace) -> kd.Dataset:
    limit = {} if arguments.rows is None else {"limit": arguments.rows}
    if arguments.csv:
        return kd.Dataset.from_files(arguments.csv, **limit)
    return kd.Dataset.load("sst2", **limit)


def _teacher(arguments: argparse.Namespace, data: kd.Dataset) -> kd.Teacher:
    store = str(arguments.work / "store")
    say(f"teacher {arguments.teacher}: fine-tuning, or found in {store}")
    train = {"epochs": arguments.teacher_epochs, "learning_rate": 3e-5, **_common(arguments)}
    return kd.Teacher(arguments.teacher, train=train).fit(data, store=store)


def _models(teacher: kd.Teacher, arguments: argparse.Namespace, data: kd.Dataset) -> dict[str, Any]:
    """The teacher and its students, by name."""
    found: dict[str, Any] = {"teacher": teacher.fitted}
    method = _method(arguments.method)
    for layers in _layers(arguments):
        say(f"student of {layers} layers: distillation by {arguments.method}")
        found[f"student-{layers}"] = kd.distill(teacher, data, method=method, **_student(layers, arguments))
    return found


def _layers(arguments: argparse.Namespace) -> list[int]:
    return [int(layers) for layers in arguments.layers.split(",")]


def _method(written: str) -> Any:
    """A method as a recipe writes it: its name, or a mapping."""
    found = yaml.safe_load(written)
    return parse_method({"name": found} if isinstance(found, str) else found)


def _student(layers: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """What `kd.distill` and `kd.compare` take for a student of so many layers."""
    return {
        "student": kd.Encoder("minilm", layers=layers, init="skip"),
        "train": {"epochs": arguments.epochs, "learning_rate": 1e-4, **_common(arguments)},
        "outputs": {"quality_check": False},
        "store": str(arguments.work / "store"),
    }


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"max_length": 64, "precision": arguments.precision}


def _compare(teacher: kd.Teacher, arguments: argparse.Namespace, data: kd.Dataset) -> dict[str, Any]:
    """Means over seeds by method, of each depth, and of the no-KD baseline."""
    names = arguments.methods.split(",")
    found: dict[str, Any] = {}
    for layers in _layers(arguments):
        say(f"students of {layers} layers: {arguments.seeds} seeds by {', '.join(names)} and without KD")
        methods = {name: parse_method({"name": name}) for name in names}
        made = kd.compare(
            methods, teacher, data, seeds=arguments.seeds, name=f"layers-{layers}", **_student(layers, arguments)
        )
        found[str(layers)] = made.to_pandas().to_dict("records")
        print("\n" + table(found[str(layers)]))
    return found


def _test_rows(data: kd.Dataset, work: Path) -> tuple[list[str], np.ndarray]:
    corpus = load_corpus(read(data.settings, Context(Store(str(work / "store")), InProcess(), kdray_data())).folder)
    (field,) = corpus.task.fields
    return corpus.table("test")[field.name].to_pylist(), corpus.labels("test")


def _scores(
    models: dict[str, Any], exported: set[str], texts: list[str], targets: np.ndarray, work: Path
) -> dict[str, float]:
    """Accuracy of every candidate, by what `kd.benchmark` takes; an export that is refused is left out, and said."""
    found: dict[str, float] = {}
    precisions = ("fp32", "bf16") if compat.has_bf16_instructions() else ("fp32",)
    if len(precisions) == 1:
        say("bf16 is left out: this processor has no instructions for it")
    for name, model in models.items():
        for precision in precisions:
            say(f"{name}: accuracy in torch {precision}")
            logits = model.logits(model.load_model(), [texts], precision=precision)
            found[f"{model.folder}@{precision}"] = float((logits.argmax(1) == targets).mean())
        for form in FORMATS if name in exported else ():
            bundle = work / f"{name}-{form}-{model.folder.parent.name[-12:]}"
            try:
                if not bundle.exists():
                    say(f"{name}: export to {form}, compared on validation rows")
                    model.export(bundle, format=form)
                say(f"{name}: accuracy of {bundle.name}")
                found[str(bundle)] = float(
                    (open_bundle(bundle).logits(texts, batch_rows=1).argmax(1) == targets).mean()
                )
            except KdrayError as error:
                say(f"{name}: {error}")
    return found


def _table(scores: dict[str, float], measured: kd.Benchmark) -> list[dict[str, Any]]:
    one = [row for row in measured.rows if row["batch"] == 1 and row["threads"] == 1]
    latency = {(row["model"], row["length"]): row for row in one}
    found: list[dict[str, Any]] = []
    for facts in measured.candidates:
        at = facts["model"]
        torch_form = at.rpartition("@")[2] in ("fp32", "bf16")
        name = Path(at).name if not torch_form else Path(at.rpartition("@")[0]).parent.name
        own = [each for each in scores if each.endswith("@fp32") and list(scores).index(each) <= list(scores).index(at)]
        median, long = latency[at, "median"], latency[at, "128"]
        found.append(
            {
                "model": name,
                "runtime": facts["runtime"].split()[0],
                "precision": facts["precision"],
                "accuracy": scores[at],
                "points lost": 100 * (scores[own[-1]] - scores[at]),
                "p50 ms": median["p50_ms"],
                "p95 ms": median["p95_ms"],
                "times faster": median["times_faster"],
                "p50 ms, 128": long["p50_ms"],
                "MB": facts["megabytes"],
                "cold start ms": facts["cold_start_ms"],
                "peak MB": facts["peak_megabytes"],
            }
        )
    return found


def _print_result(rows: list[dict[str, Any]]) -> None:
    students = [row for row in rows if row["model"].startswith("student")]
    fastest = max((row["times faster"] for row in students), default=float("nan"))
    print(f"teacher to the fastest exported student: {fastest:.1f} times (target {TIMES:g})")
    int8 = [row for row in rows if row["precision"] == "int8"]
    worst = max((row["points lost"] for row in int8), default=float("nan"))
    print(f"int8 against its own fp32: at most {worst:.2f} points lost (target {POINTS:g}), {len(int8)} exported")


if __name__ == "__main__":
    main()
