"""Students that are no transformers, on parts of real corpora: `python benchmarks/systems.py [--corpora imdb,ag_news]`.

One teacher a corpus (six layers of MiniLM, fine-tuned); students with hard labels and distilled, several seeds, in one
process. Prints a table with accuracy beside the survey's printed figures, and size and latency of the ONNX export, and
saves it as JSON. What is in the store is not made again, so that the same command on a quiet machine measures the
latencies again and trains nothing. Classic students draw nothing, so all their seeds are equal.
"""

import argparse
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from written import origin, scores

import kdray as kd
from kdray.cli.show import table
from kdray.config import RunConfig, parse
from kdray.corpora import TASKS, load_corpus
from kdray.export.bench import candidate_of, megabytes_of, time_one_row
from kdray.export.bundle import Format, export_bundle
from kdray.export.evidence import evidence_for
from kdray.export.trained import open_trained
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store

SEED = 0  # of the rows that are drawn
WORDS, LETTERS = {"ngrams": [1, 2]}, {"units": "characters", "ngrams": [2, 4]}
CNN = {"name": "textcnn", "embedding": 100, "filters": 50}
LSTM = {"name": "bilstm", "embedding": 100, "hidden": 100, "dense": 100}
DRAWS = ("static", "TextCNN", "BiLSTM")  # random numbers
HARD, SOFT, ASSISTED = "hard labels", "distilled", "distilled by an assistant"


@dataclass(frozen=True)
class System:
    """
    Attributes:
        rows: That are drawn of each split; without validation it is taken from train.
        length: Tokens that teachers and networks read.
        whole: Words or characters that classic students read.
        students: Architectures by title.
        printed: The survey's figures by row of the table, in percent.
        assisted: Students that are also distilled from an assistant of three layers.
    """

    rows: Mapping[str, int]
    length: int
    whole: int
    students: Mapping[str, Mapping[str, Any]]
    printed: Mapping[str, str] = field(default_factory=dict[str, str])
    assisted: tuple[str, ...] = ()


def _classic(features: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    names = {"naive Bayes": "naive_bayes", "linear SVM": "linear_svm", "logistic regression": "logistic"}
    return {title: {"name": name, **features} for title, name in names.items()}


SYSTEMS = {
    "imdb": System(
        {"train": 1000, "test": 500},
        length=128,
        whole=2048,
        students={**_classic(WORDS), "static": {"name": "static"}, "TextCNN": CNN, "BiLSTM": LSTM},
        printed={
            f"naive Bayes, {HARD}": "78.7",
            f"naive Bayes, {SOFT}": "80.3",
            f"linear SVM, {SOFT}": "about +1",
            f"logistic regression, {SOFT}": "about +1",
            f"TextCNN, {HARD}": "82.2",
            f"TextCNN, {ASSISTED}": "87.9",
        },
        assisted=("TextCNN",),
    ),
    "ag_news": System(
        {"train": 1500, "test": 1000},
        length=64,
        whole=256,
        students={"logistic regression": {"name": "logistic", **WORDS}, "TextCNN": CNN, "BiLSTM": LSTM},
        printed={f"TextCNN, {HARD}": "92.5", f"TextCNN, {SOFT}": "93.1"},
    ),
    "phishing_url": System(
        {"train": 1500, "validation": 300, "test": 1000},
        length=64,
        whole=256,
        students={**_classic(LETTERS), "TextCNN": CNN},
    ),
    "europarl_lid": System(
        {"train": 2000, "validation": 300, "test": 1000},
        length=32,
        whole=256,
        students={**_classic(LETTERS), "TextCNN": CNN},
        printed={"teacher": "98.84 (a student of six layers)"},
    ),
}


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING)
    context = Context(Store(arguments.store), InProcess(), None)
    document: dict[str, Any] = {
        **origin(),
        "corpora": {},
    }
    for name in arguments.corpora.split(","):
        document["corpora"][name] = found = _system(name, arguments, context)
        Path(arguments.out).write_text(json.dumps(document, indent=1) + "\n")
        print(f"{name}: {found['rows']}, one row of {found['tokens']} tokens")
        print(table([{key: value for key, value in line.items() if key != "values"} for line in found["lines"]]))
        print(found["load"] or "The machine was quiet.", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", default=",".join(SYSTEMS), help="names, comma-separated")
    parser.add_argument("--students", help="titles of the table, comma-separated; all where it is left out")
    parser.add_argument("--assistant", action=argparse.BooleanOptionalAction, default=True, help="distil by one too")
    parser.add_argument("--rows", type=int, default=0, help="rows drawn of train, validation included; 0: as written")
    parser.add_argument("--encoder", default="minilm", help="of the teachers")
    parser.add_argument("--teacher-epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", default="store")
    parser.add_argument("--out", default="systems.json")
    return parser


def _system(name: str, arguments: argparse.Namespace, context: Context) -> dict[str, Any]:
    system = SYSTEMS[name]
    rows = dict(system.rows) | ({"train": arguments.rows} if arguments.rows else {})
    data = drawn(name, rows)

    def run(architecture: Mapping[str, Any], method: str, seed: int) -> RunConfig:
        return _run(system, data, architecture, method, seed, arguments)

    prepared = prepare(run(CNN, "kd", 0), context)
    teacher = prepared.teachers[0].model
    assert teacher is not None
    made: dict[str, list[Artifact]] = {"teacher": [teacher.open(context.store)]}
    chosen = arguments.students.split(",") if arguments.students else system.students
    for title, architecture in ((title, system.students[title]) for title in chosen):
        is_assisted = arguments.assistant and title in system.assisted
        how = {HARD: "finetune", SOFT: "kd" if title in DRAWS else "soft_classic"}
        for label, method in (how | ({ASSISTED: "takd"} if is_assisted else {})).items():
            seeds = range(arguments.seeds if title in DRAWS else 1)
            runs = [run(architecture, method, seed) for seed in seeds]
            made[f"{title}, {label}"] = [distill(each, prepared, context) for each in runs]
            print(json.dumps(scores(f"{title}, {label}", made[f"{title}, {label}"])), flush=True)
    corpus = load_corpus(prepared.corpus.folder)
    texts = [(text,) for text in corpus.table("validation")["text"].to_pylist()]
    shapes = {title.partition(",")[0]: each[0] for title, each in made.items()}
    costs, load, tokens = exported({title: each.folder for title, each in shapes.items()}, texts)
    lines = [
        {
            **scores(title, each),
            "printed": system.printed.get(title),
            **costs[title.partition(",")[0]],
            "training s": sum(result_of(one)["seconds"]["train"] for one in each) / len(each),
        }
        for title, each in made.items()
    ]
    return {"lines": lines, "load": load, "tokens": tokens, "rows": corpus.info["rows"]}


def drawn(name: str, rows: Mapping[str, int]) -> kd.Dataset:
    """So many rows of each split, drawn, of a corpus in the folder `KDRAY_DATA`."""
    found: dict[str, pa.Table] = {}
    task = TASKS[name]
    for split, number in rows.items():
        whole = pq.read_table(Path(os.environ["KDRAY_DATA"]) / name / f"{split}.parquet", columns=["text", "label"])
        part = whole.take(np.sort(np.random.default_rng(SEED).permutation(len(whole))[:number]))
        found[split] = part.set_column(1, "label", [[task.labels[label] for label in part["label"].to_pylist()]])
    return kd.Dataset.from_pandas(
        **{split: part.to_pandas() for split, part in found.items()},
        labels=task.labels,
        name=name,
        metrics=task.metrics,
    )


def _run(
    system: System,
    data: kd.Dataset,
    architecture: Mapping[str, Any],
    method: str,
    seed: int,
    arguments: argparse.Namespace,
) -> RunConfig:
    is_classic = architecture["name"] not in ("static", "textcnn", "bilstm")
    train: dict[str, Any] = {"max_length": system.length, "precision": "fp32", "seed": seed}
    train |= {"max_length": system.whole} if is_classic else {"epochs": 5, "learning_rate": 3e-3}
    slow = {"learning_rate": 1e-4, "max_length": system.length, "precision": "fp32"}
    options = {"kd": {"temperature": 2.0}, "takd": {"temperature": 2.0, "depths": [3]}}
    settings: dict[str, Any] = {
        "store": arguments.store,
        "corpus": data.settings.model_dump(mode="json"),
        "prune": {"policy": "none"},
        "teachers": [
            {"name": "teacher", "encoder": arguments.encoder, "train": {"epochs": arguments.teacher_epochs, **slow}}
        ],
        "student": {"architecture": dict(architecture)},
        "method": {"name": method, **options.get(method, {})},
        "train": train,
    }
    if method == "takd":
        settings["assistant"] = {"train": {"epochs": 2, **slow}}
    return parse(settings, source="benchmarks/systems.py")


def exported(
    folders: Mapping[str, Path], texts: list[tuple[str]], formats: tuple[Format, ...] = ("onnx",)
) -> tuple[dict[str, dict[str, float]], str, int]:
    """Size and latency of each model's exports, which were compared with it, on one thread, in turns.

    Returns:
        Columns by model, what is wrong with the load of the machine, and the tokens of the row.
    """
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        bundles: dict[str, tuple[str, str]] = {}
        for number, (title, folder) in enumerate(folders.items()):
            model = open_trained(folder)
            found[title] = {}
            for form in formats:
                out = Path(place) / f"{number}-{form}"
                export_bundle(model, out, format=form, evidence=evidence_for(model, None))
                bundles[str(out)] = (title, form)
                found[title][f"MB, {form}"] = megabytes_of(out)
        timed = time_one_row([candidate_of(out) for out in bundles], texts)
    for out, (title, form) in bundles.items():
        found[title][f"ms, {form}"] = timed.p50_ms[out]
    return found, timed.load.sentence, timed.tokens


if __name__ == "__main__":
    main()
