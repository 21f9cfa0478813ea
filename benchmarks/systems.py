"""Students that are no transformers, on parts of real corpora: `python benchmarks/systems.py [--corpora imdb,ag_news]`.

One teacher a corpus (six layers of MiniLM, fine-tuned); students with hard labels and distilled, several seeds, in one
process. Prints a table with accuracy, size and the latency of the ONNX export, and saves it as JSON. What is in the
store is not made again. Classic students draw nothing, so all their seeds are equal.
"""

import argparse
import json
import logging
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kdray.cli.show import table
from kdray.config import RunConfig, parse
from kdray.corpora import corpus, load_corpus
from kdray.evaluate import spread
from kdray.evaluate.latency import median_ms
from kdray.export.bundle import export_bundle, open_bundle
from kdray.export.evidence import evidence_for
from kdray.export.trained import open_trained
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store

SEED = 0  # of the rows that are drawn
ROWS = {
    "imdb": {"train": 1000, "test": 500},
    "ag_news": {"train": 1000, "test": 1000},
    "phishing_url": {"train": 1500, "validation": 500, "test": 1000},
}
LENGTH = {"imdb": 128, "ag_news": 64, "phishing_url": 64}  # tokens that teachers and networks read
WHOLE = {"imdb": 2048, "ag_news": 256, "phishing_url": 256}  # words or characters that classic students read


def _drawn(name: str) -> Mapping[str, pa.Table]:
    found: dict[str, pa.Table] = {}
    for split, number in ROWS[name].items():
        rows = pq.read_table(Path(os.environ["KDRAY_DATA"]) / name / f"{split}.parquet", columns=["text", "label"])
        found[split] = rows.take(np.sort(np.random.default_rng(SEED).permutation(len(rows))[:number]))
    return found


@corpus(labels=["neg", "pos"])
def imdb() -> Mapping[str, Any]:
    return _drawn("imdb")


@corpus(labels=["World", "Sports", "Business", "Sci/Tech"])
def ag_news() -> Mapping[str, Any]:
    return _drawn("ag_news")


@corpus(labels=["benign", "phishing"], metrics=["accuracy", "f1"])
def phishing_url() -> Mapping[str, Any]:
    return _drawn("phishing_url")


WORDS, LETTERS = {"ngrams": [1, 2]}, {"units": "characters", "ngrams": [2, 4]}
CNN = {"name": "textcnn", "embedding": 100, "filters": 50}
STUDENTS: dict[str, dict[str, Any]] = {
    "imdb": {
        "naive Bayes": {"name": "naive_bayes", **WORDS},
        "linear SVM": {"name": "linear_svm", **WORDS},
        "logistic regression": {"name": "logistic", **WORDS},
        "static": {"name": "static"},
        "TextCNN": CNN,
    },
    "ag_news": {"logistic regression": {"name": "logistic", **WORDS}, "TextCNN": CNN},
    "phishing_url": {
        "naive Bayes": {"name": "naive_bayes", **LETTERS},
        "linear SVM": {"name": "linear_svm", **LETTERS},
        "logistic regression": {"name": "logistic", **LETTERS},
        "TextCNN": CNN,
    },
}
DRAWS = ("static", "TextCNN")


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING)
    context = Context(Store(arguments.store), InProcess(), None)
    lines: list[dict[str, Any]] = []
    for name in arguments.corpora.split(","):
        run = _run(name, CNN, "kd", 0, arguments.store)
        prepared = prepare(run, context)
        teacher = prepared.teachers[0].model
        assert teacher is not None
        lines.append(_line(name, "teacher, 6 layers", [teacher.open(context.store)], context))
        for title, architecture in STUDENTS[name].items():
            soft = "kd" if title in DRAWS else "soft_classic"
            for how, method in (("hard labels", "finetune"), ("distilled", soft)):
                seeds = range(arguments.seeds if title in DRAWS else 1)
                runs = [_run(name, architecture, method, seed, arguments.store) for seed in seeds]
                made = [distill(each, prepared, context) for each in runs]
                lines.append(_line(name, f"{title}, {how}", made, context))
                print(json.dumps(lines[-1]), flush=True)
        lines[-1]["rows"] = load_corpus(prepared.corpus.folder).info["rows"]
    document = {
        "command": shlex.join(["python", *sys.argv]),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "lines": lines,
    }
    Path(arguments.out).write_text(json.dumps(document, indent=1) + "\n")
    print(table([{key: value for key, value in line.items() if key not in ("values", "rows")} for line in lines]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", default=",".join(ROWS), help="names, comma-separated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", default="store")
    parser.add_argument("--out", default="systems.json")
    return parser


def _run(name: str, architecture: Mapping[str, Any], method: str, seed: int, store: str) -> RunConfig:
    is_classic = method == "soft_classic" or architecture["name"] not in ("static", "textcnn")
    train: dict[str, Any] = {"max_length": LENGTH[name], "precision": "fp32", "seed": seed}
    train |= {"max_length": WHOLE[name]} if is_classic else {"epochs": 5, "learning_rate": 3e-3}
    settings = {
        "store": store,
        "corpus": {"name": f"{Path(__file__).resolve()}:{name}"},
        "prune": {"policy": "none"},
        "teachers": [
            {"name": "minilm", "train": {"epochs": 2, "learning_rate": 1e-4, "max_length": LENGTH[name]}},
        ],
        "student": {"architecture": dict(architecture)},
        "method": {"name": method} | ({"temperature": 2.0} if method == "kd" else {}),
        "train": train,
    }
    return parse(settings, source="benchmarks/systems.py")


def _line(name: str, title: str, made: list[Artifact], context: Context) -> dict[str, Any]:
    results = [result_of(each) for each in made]
    scores = [result["metrics"]["test"]["accuracy"] for result in results]
    found = spread(scores)
    return {
        "corpus": name,
        "model": title,
        "accuracy": found.mean,
        "±": found.std,
        "parameters": results[0]["cost"]["parameters"],
        "ms, onnx": None if title.endswith("hard labels") else _exported_ms(made[0], name),
        "training s": sum(result["seconds"]["train"] for result in results) / len(results),
        "values": scores,
    }


def _exported_ms(made: Artifact, name: str) -> float:
    """The median time of one test row by the ONNX export, which was compared with its model, on one thread."""
    model = open_trained(made.folder)
    rows = _drawn(name)["test"]["text"].to_pylist()[:50]
    with tempfile.TemporaryDirectory() as place:
        export_bundle(model, Path(place) / "bundle", format="onnx", evidence=evidence_for(model, None))
        bundle = open_bundle(Path(place) / "bundle", threads=1)
        return float(np.median([median_ms(lambda row=row: bundle.logits([row])) for row in rows[:10]]))


if __name__ == "__main__":
    main()
