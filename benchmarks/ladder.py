"""From linear to 12 layers: `python benchmarks/ladder.py [--teacher FOLDER] [--figure docs/ladder.png]`.

One teacher on SST-2; students from naive Bayes to six layers of MiniLM, each with hard labels and distilled; every
student exported to ONNX in fp32 and, where its architecture allows, int8. Prints accuracy, size and latency of each,
and draws accuracy against latency by the figure of a sweep's report. Models, bundles and latencies are kept in
`--work`: the same command with `--latency` on a quiet machine times the bundles again and trains nothing.

`--top` adds an encoder that is fine-tuned on hard labels alone, as the highest rung.
"""

import argparse
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from written import now, origin
from written import scores as scores_of

import kdray as kd
from kdray.cli.show import table
from kdray.config import RunConfig, parse
from kdray.corpora import StoredCorpus, kdray_data, load_corpus
from kdray.errors import RunError
from kdray.export.bench import candidate_of, megabytes_of, time_one_row
from kdray.export.bundle import Format, export_bundle, open_bundle
from kdray.export.evidence import evidence_for
from kdray.export.trained import open_trained
from kdray.report import figures
from kdray.stages import Context, InProcess, distill, prepare, read, teach
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store

LAYERS = {
    f"{n} layers" if n > 1 else "1 layer": {"encoder": "minilm", "layers": n, "init": "skip"} for n in (1, 2, 3, 6)
}
CLASSIC = {"naive Bayes": "naive_bayes", "logistic regression": "logistic"}
NETWORKS = {
    "static": {"name": "static"},
    "TextCNN": {"name": "textcnn", "vectors": "encoder", "filters": 50},
    "BiLSTM": {"name": "bilstm", "vectors": "encoder", "hidden": 100, "dense": 100},
}
INT8 = ("TextCNN", *LAYERS)
HARD, SOFT = "hard labels", "distilled"


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING)
    context = Context(Store(str(arguments.work / "store")), InProcess(), kdray_data())
    made, corpus = _trained(arguments, context)
    titles = [title for title in made if not title.endswith(HARD)]
    bundles = {
        (title, form): found
        for title in titles
        for form in ("onnx", "onnx-int8")
        if (found := _bundle(title, form, made[title][0], arguments.work)) is not None
    }
    scores = {key: _score(bundle, corpus) for key, bundle in bundles.items() if key[1] == "onnx-int8"}
    latency = _latency(bundles, corpus, arguments)
    rows = [_row(title, each, bundles, scores, latency) for title, each in made.items()]
    document = {
        **origin(),
        "rows of": corpus.info["rows"],
        "rows": rows,
        "latency": latency,
    }
    (arguments.work / "ladder.json").write_text(json.dumps(document, indent=1) + "\n")
    print(table([{key: value for key, value in row.items() if key != "values"} for row in rows]))
    print(f"{corpus.info['rows']}; one row of {latency['tokens']} tokens, {latency['measured']}")
    print(latency["load"] or "The machine was quiet.")
    if arguments.figure:
        _draw(rows, latency, corpus, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="minilm", help="encoder of the teacher: a name or a folder")
    parser.add_argument("--teacher-epochs", type=int, default=2)
    parser.add_argument("--teacher-rate", type=float, default=1e-4, help="learning rate of the teacher and of --top")
    parser.add_argument("--top", help="a further encoder, fine-tuned for one epoch without a student")
    parser.add_argument("--top-rate", type=float, default=3e-5)
    parser.add_argument("--rows", type=int, default=2000, help="of train, validation included")
    parser.add_argument("--epochs", type=int, default=3, help="of transformers; networks have five")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("ladder-work"), help="keeps models, bundles and results")
    parser.add_argument("--latency", action="store_true", help="time the bundles even if they were timed before")
    parser.add_argument("--figure", type=Path, help="a picture of the ladder, which needs the extra figures")
    return parser


def _trained(arguments: argparse.Namespace, context: Context) -> tuple[dict[str, list[Artifact]], StoredCorpus]:
    """Models of all seeds by row of the table, and their corpus."""
    run = _run({"layers": 3}, "kd", 0, arguments)
    prepared = prepare(run, context)
    teacher = prepared.teachers[0].model
    assert teacher is not None
    made: dict[str, list[Artifact]] = {}
    networks = {title: {"architecture": each} for title, each in NETWORKS.items()}
    classic = {title: {"architecture": {"name": each, "ngrams": [1, 2]}} for title, each in CLASSIC.items()}
    for title, student in (classic | networks | LAYERS).items():
        for how, method in ((HARD, "finetune"), (SOFT, "soft_classic" if title in CLASSIC else "kd")):
            seeds = range(1 if title in CLASSIC else arguments.seeds)
            runs = [_run(student, method, seed, arguments) for seed in seeds]
            made[f"{title}, {how}"] = [distill(each, prepared, context) for each in runs]
            found = [result_of(each)["metrics"]["test"]["accuracy"] for each in made[f"{title}, {how}"]]
            print(f"{title}, {how}: {found}", flush=True)
    made["teacher"] = [teacher.open(context.store)]
    if arguments.top:
        train = {"epochs": 1, "learning_rate": arguments.top_rate, "max_length": 64, "precision": "fp32"}
        settings = kd.Teacher(arguments.top, "top", train).settings
        made["top"] = [teach(settings, read(run.corpus, context), context)]
    return made, load_corpus(prepared.corpus.folder)


def _run(student: Mapping[str, Any], method: str, seed: int, arguments: argparse.Namespace) -> RunConfig:
    architecture = student.get("architecture", {"name": "transformer"})["name"]
    train: dict[str, Any] = {"max_length": 64, "precision": "fp32", "seed": seed}
    if architecture == "transformer":
        train |= {"epochs": arguments.epochs, "learning_rate": 3e-4}
    elif architecture in ("static", "textcnn", "bilstm"):
        train |= {"epochs": 5, "learning_rate": 1e-3}
    slow = {"epochs": arguments.teacher_epochs, "learning_rate": arguments.teacher_rate, "max_length": 64}
    settings: dict[str, Any] = {
        "store": str(arguments.work / "store"),
        "corpus": {"name": "sst2", "limit": arguments.rows},
        "prune": {"policy": "none"},
        "teachers": [{"name": "teacher", "encoder": arguments.teacher, "train": {**slow, "precision": "fp32"}}],
        "student": dict(student),
        "method": {"name": method, **({"temperature": 2.0} if method == "kd" else {})},
        "train": train,
    }
    return parse(settings, source="benchmarks/ladder.py")


def _bundle(title: str, form: Format, trained: Artifact, work: Path) -> Path | None:
    """Exported, if it was not before; None where the architecture has no int8, or the export does not agree."""
    rung = title.partition(",")[0]
    if form == "onnx-int8" and rung not in (*INT8, "teacher", "top"):
        return None
    out = work / "bundles" / f"{rung.replace(' ', '-')}-{trained.digest[:12]}-{form}"
    if out.exists():
        return out
    model = open_trained(trained.folder)
    try:
        export_bundle(model, out, format=form, evidence=evidence_for(model, None))
    except RunError as error:
        print(f"{title}, {form}: {error}", flush=True)
        return None
    return out


def _score(bundle: Path, corpus: StoredCorpus) -> float:
    """Accuracy on the test rows, one at a time, as it is timed; kept beside the bundle."""
    kept = bundle.with_suffix(".accuracy")
    if not kept.exists():
        logits = open_bundle(bundle).logits(corpus.table("test")["sentence"].to_pylist(), batch_rows=1)
        kept.write_text(str(float((logits.argmax(1) == corpus.labels("test")).mean())))
    return float(kept.read_text())


def _latency(
    bundles: Mapping[tuple[str, str], Path], corpus: StoredCorpus, arguments: argparse.Namespace
) -> dict[str, Any]:
    kept = arguments.work / "latency.json"
    known = json.loads(kept.read_text()) if kept.exists() else {"ms": {}}
    if arguments.latency or not {str(bundle) for bundle in bundles.values()} <= set(known["ms"]):
        rows = [(text,) for text in corpus.table("test")["sentence"].to_pylist()]
        found = time_one_row([candidate_of(bundle) for bundle in bundles.values()], rows)
        known = {
            "ms": dict(found.p50_ms),
            "tokens": found.tokens,
            "load": found.load.sentence,
            "measured": now(),
        }
        kept.write_text(json.dumps(known, indent=1) + "\n")
    return known


def _row(
    title: str,
    made: list[Artifact],
    bundles: Mapping[tuple[str, str], Path],
    scores: Mapping[tuple[str, str], float],
    latency: Mapping[str, Any],
) -> dict[str, Any]:
    row = scores_of(title, made)
    for form in ("onnx", "onnx-int8"):
        bundle = bundles.get((title, form))
        row[f"MB, {form}"] = None if bundle is None else megabytes_of(bundle)
        row[f"ms, {form}"] = None if bundle is None else latency["ms"][str(bundle)]
    row["accuracy, onnx-int8"] = scores.get((title, "onnx-int8"))
    return row


def _draw(rows: list[dict[str, Any]], latency: Mapping[str, Any], corpus: StoredCorpus, arguments: Any) -> None:
    """The figure of a sweep's report, with names at the marks."""
    students, teachers = list[dict[str, Any]](), list[dict[str, Any]]()
    for row in rows:
        for form, mean, std in (("onnx", row["accuracy"], row["±"]), ("onnx-int8", row["accuracy, onnx-int8"], None)):
            if mean is None or (ms := row[f"ms, {form}"]) is None:
                continue
            name = row["model"].partition(",")[0] + (", int8" if form == "onnx-int8" else "")
            if row["model"] in ("teacher", "top"):
                teachers.append({"name": name, "test": mean, "latency_ms": ms})
            else:
                test = {"mean": mean, "std": std, "values": [mean]}
                students.append({"label": name, "seeds": [0], "test": test, "latency_ms": ms})
    result = {
        "kind": "sweep",
        "name": "ladder",
        "created": latency["measured"],
        "command": "python benchmarks/ladder.py",
        "kdray": "",
        "corpus": {"name": "sst2", "is_sample": False, "rows": corpus.info["rows"]},
        "settings": {},
        "metric": "accuracy",
        "trials": [],
        "best": None,
        "confirmation": students,
        "teachers": teachers,
        "latency": {"formats": ["onnx", "onnx-int8"], "students": {}, "teachers": {}, "tokens": latency["tokens"]},
    }
    figure = figures(result)["Score against latency"]
    traces: Any = figure.data
    for trace in traces:
        if trace.mode == "markers":
            names = [text.partition("<br>")[0] for text in trace.hovertext]
            places = ["top left" if name.endswith("int8") else "bottom right" for name in names]
            trace.update(mode="markers+text", text=names, textposition=places)
            trace.update(textfont={"size": 11}, cliponaxis=False)
    figure.update_xaxes(tickvals=[each * 10.0**power for power in range(-2, 4) for each in (1, 2, 5)])
    figure.update_layout(width=1000, height=560, paper_bgcolor="white", plot_bgcolor="white", margin_r=60)
    figure.write_image(arguments.figure, scale=2)


if __name__ == "__main__":
    main()
