"""The share of a teacher's accuracy that students of six and three layers have: `python benchmarks/retention.py`.

One teacher a corpus is fine-tuned by kdray; its logits for the training rows are one file, which every trainer reads.
kdray (`kd`, and the no-KD baseline), TextBrewer and torchdistill then train students of MiniLM's layers on the same
rows, with the same loss, optimizer, schedule, batch size and epochs. Each has its own random numbers: `--seeds` of
them. The epoch with the best validation accuracy is scored on the official dev split. Printed: mean and standard
deviation, and the share of the teacher's accuracy that is kept.
The rivals live in a folder that no environment knows; install them with
`pip install --no-deps --target .peers/textbrewer textbrewer tensorboardX` and
`pip install --no-deps --target .peers/torchdistill torchdistill torchvision==0.28.0 pillow`.
Everything is kept in `--store` and `--out`: the same command continues a stopped run, and other settings of a training
need another `--out`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from written import origin

import kdray as kd
from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import kdray_data, load_corpus
from kdray.corpora.notes import texts_of
from kdray.distillation import ModelSource, build_model
from kdray.errors import ConfigError
from kdray.evaluate import spread, welch
from kdray.models import save_classifier
from kdray.stages import Context, InProcess, read
from kdray.store import Store

HERE = Path(__file__).parent
RIVALS = ("textbrewer", "torchdistill")
BASELINE = "kdray, hard labels"
BATCH, LENGTH = 32, 128
CHOICES = ("corpora", "depths", "seeds", "trainers", "store", "out")  # flags that change no training


def main() -> None:
    arguments = _parser().parse_args()
    out = Path(arguments.out)
    trained = {name: value for name, value in vars(arguments).items() if name not in CHOICES}
    document = json.loads(out.read_text()) if out.exists() else {"settings": trained}
    if document["settings"] != trained:
        raise ConfigError(f"--out {out} has figures of other settings: {document['settings']}; give another file.")
    document |= origin()
    for corpus in arguments.corpora.split(","):
        found = document.setdefault(corpus, {})
        with tempfile.TemporaryDirectory(prefix="kdray-retention-") as folder:
            for _ in _measured(corpus, arguments, Path(folder), found):
                out.write_text(json.dumps(document, indent=1) + "\n")
        print(f"{corpus}: the teacher has {found['teacher']:.4f} on {found['rows']} rows")
        print(table(_lines(found)), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="minilm", help="encoder of the teacher: a name or a folder of 12 x 768")
    parser.add_argument("--teacher-epochs", type=int, default=3)
    parser.add_argument("--teacher-rate", type=float, default=3e-5)
    parser.add_argument("--corpora", default="mrpc,rte", help="some of mrpc, rte; comma-separated")
    parser.add_argument("--limit", type=int, help="rows of train; all where it is left out")
    parser.add_argument("--depths", default="6,3", help="layers of the students, comma-separated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--temperature", type=float, default=3.0)
    parser.add_argument("--alpha", type=float, default=0.7)
    parser.add_argument("--trainers", default=",".join(("kdray", *RIVALS)), help="comma-separated")
    parser.add_argument("--store", default="retention-store")
    parser.add_argument("--out", default="retention.json")
    return parser


def _measured(name: str, arguments: argparse.Namespace, folder: Path, found: dict[str, Any]) -> Any:
    """Fill `found` with the teacher's score and the students' by depth and trainer; yields after each."""
    limit = {} if arguments.limit is None else {"limit": arguments.limit}
    data = kd.Dataset.load(name, metrics=("accuracy",), **limit)
    train = {"epochs": arguments.teacher_epochs, "learning_rate": arguments.teacher_rate, "max_length": LENGTH}
    teacher = kd.Teacher(arguments.teacher, train=train).fit(data, store=arguments.store)
    corpus = load_corpus(read(data.settings, Context(Store(arguments.store), InProcess(), kdray_data())).folder)
    found |= {"teacher": teacher.evaluate()["accuracy"], "rows": corpus.info["rows"]["test"]}
    yield
    logits = folder / "logits.parquet"
    _write_logits(teacher, corpus, logits)
    for depth in map(int, arguments.depths.split(",")):
        trainers = found.setdefault(f"{depth} layers", {})
        if "kdray" in arguments.trainers.split(","):
            trainers.update(_by_kdray(data, depth, logits, arguments))
            yield
        for rival in (each for each in arguments.trainers.split(",") if each in RIVALS):
            scores = trainers.setdefault(rival, [])
            for seed in range(len(scores), arguments.seeds):
                scores.append(_by_rival(rival, corpus, depth, seed, logits, arguments, folder))
                print(json.dumps({"depth": depth, "trainer": rival, "seed": seed, "accuracy": scores[-1]}), flush=True)
                yield


def _write_logits(teacher: kd.Teacher, corpus: Any, path: Path) -> None:
    rows = corpus.table("train")
    texts = list(texts_of(rows, [field.name for field in corpus.task.fields]))
    values = np.log(np.maximum(teacher.predict_proba(texts), 1e-30))
    names = corpus.task.labels
    pq.write_table(pa.table({"id": rows["id"], **{f"logit:{n}": values[:, i] for i, n in enumerate(names)}}), path)


def _by_kdray(data: kd.Dataset, depth: int, logits: Path, arguments: argparse.Namespace) -> dict[str, list[float]]:
    made = kd.compare(
        {"kd": kd.methods.KD(temperature=arguments.temperature, alpha=arguments.alpha)},
        kd.Teacher.from_predictions(logits),
        data,
        student=kd.Encoder("minilm", layers=depth, init="skip"),
        seeds=arguments.seeds,
        train={
            "epochs": arguments.epochs,
            "learning_rate": arguments.rate,
            "batch_size": BATCH,
            "max_length": LENGTH,
            "precision": "fp32",  # as the rivals train
        },
        outputs={"quality_check": False},
        store=arguments.store,
        name=f"{data.name}-{depth}",
    )
    names = {"kd": "kdray", "no-KD baseline": BASELINE}
    rows = made.result["confirmation"]
    return {names[row["label"]]: row["test"]["values"] for row in rows if row["label"] in names}


def _by_rival(
    rival: str, corpus: Any, depth: int, seed: int, logits: Path, arguments: argparse.Namespace, folder: Path
) -> float:
    start = folder / f"start-{depth}-{seed}"
    if not start.exists():
        source = ModelSource(encoder="minilm", layers=depth, init="skip")
        student, tokenizer = build_model(source, labels=corpus.task.labels, seed=seed, store=Store(arguments.store))
        save_classifier(student, tokenizer, start)
    job = {
        "rows": str(corpus.folder),
        "labels": list(corpus.task.labels),
        "logits": str(logits),
        "student": str(start),
        "seed": seed,
        "epochs": arguments.epochs,
        "rate": arguments.rate,
        "batch": BATCH,
        "length": LENGTH,
        "temperature": arguments.temperature,
        "alpha": arguments.alpha,
    }
    (folder / "job.json").write_text(json.dumps(job))
    paths = [str(HERE.parent / ".peers" / rival), str(HERE)]
    command = [sys.executable, "-W", "ignore", str(HERE / "retention_rivals.py"), rival, str(folder / "job.json")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _lines(found: dict[str, Any]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for depth, trainers in found.items():
        if not isinstance(trainers, dict):
            continue
        for trainer, values in trainers.items():
            mean = spread(values)
            ours = trainers.get("kdray") if trainer != "kdray" else None
            lines.append(
                {
                    "student": depth,
                    "trainer": trainer,
                    "seeds": len(values),
                    "accuracy": mean.mean,
                    "±": mean.std,
                    "retention": mean.mean / found["teacher"],
                    "p against kdray": welch(ours, values) if ours and len(values) > 1 else None,
                }
            )
    return lines


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))
