"""The same eight students by kdray and by what people write otherwise: `python benchmarks/sweep.py --corpus mrpc`.

One teacher and one initial student are made first, by kdray, and are not timed. Then each runner, a process of its own,
trains one student for every temperature and α from them, on the same rows, with the same optimizer and epochs, and
scores each after every epoch: kdray's sweep, which asks the teacher itself; Ray Tune over a Hugging Face Trainer with
the teacher inside, padded to 128 tokens or to the longest of a batch; TextBrewer in a loop, with its cache in memory.
Printed: processor seconds of the runner and all its children, wall seconds, and the metric. The peers live in a folder
that no environment knows; install them with
`pip install --no-deps --target .peers/hf accelerate` and `pip install --no-deps --target .peers/textbrewer textbrewer`.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from family import measured

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.config import parse
from kdray.corpora import kdray_data, load_corpus
from kdray.distillation import ModelSource, Ref, build_model
from kdray.errors import ConfigError
from kdray.models import save_classifier
from kdray.stages import Context, InProcess, read, teach
from kdray.store import Store

HERE = Path(__file__).parent
TEMPERATURES, ALPHAS = (2.0, 5.0, 10.0, 20.0), (0.5, 0.9)
RUNNERS = ("kdray", "hf-128", "hf-dynamic", "textbrewer")
PEERS = {"hf-128": "hf", "hf-dynamic": "hf", "textbrewer": "textbrewer"}


def main() -> None:
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="kdray-sweep-") as folder:
        job = _prepare(arguments, Path(folder))
        rows: list[dict[str, Any]] = []
        for turn in range(arguments.turns):
            for name in arguments.runners.split(","):
                rows.append({"runner": name, "turn": turn, **_timed(name, job, Path(folder))})
                print(json.dumps(rows[-1]), flush=True)
    Path(arguments.out).write_text(json.dumps({"command": sys.argv, "rows": rows}, indent=1) + "\n")
    print(table([{key: value for key, value in row.items() if key != "scores"} for row in rows]))


def _prepare(arguments: argparse.Namespace, folder: Path) -> Path:
    """The teacher, the initial student and the rows, as every runner reads them; returns the job's file."""
    train = {"epochs": arguments.teacher_epochs, "learning_rate": 1e-4}
    corpus = {"name": arguments.corpus, "limit": arguments.limit, "validation_fraction": arguments.validation_fraction}
    plain = {"store": arguments.store, "corpus": corpus, "teachers": [{"name": "minilm", "train": train}]}
    run = parse(plain, source="benchmark")
    store = Store(run.store)
    context = Context(store, InProcess(), kdray_data())
    stored = read(run.corpus, context)
    teacher = teach(run.teachers[0], stored, context)
    task = load_corpus(stored.folder).task
    if task.metrics[0] != "accuracy":
        raise ConfigError(f"--corpus {arguments.corpus}: the peers report accuracy, its metric is {task.metrics[0]}.")
    labels = task.labels
    source = ModelSource(artifact=Ref.to(teacher), layers=3, init="skip")
    student, tokenizer = build_model(source, labels=labels, seed=0, store=store)
    save_classifier(student, tokenizer, folder / "student")
    job = {
        "corpus": corpus,
        "teachers": plain["teachers"],
        "made": {artifact.where: str(artifact.path) for artifact in (stored, teacher)},
        "rows": str(stored.folder),
        "teacher": str(teacher.file("model")),
        "student": str(folder / "student"),
        "labels": list(labels),
        "points": [{"temperature": t, "alpha": a} for t in TEMPERATURES for a in ALPHAS],
        "epochs": arguments.epochs,
        "rate": 1e-4,
        "batch": 32,
        "length": 128,
    }
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


def _timed(name: str, job: Path, folder: Path) -> dict[str, Any]:
    """Run one runner to its end; the processor time of everything it started is what was last seen of each process."""
    out = folder / f"{name}.json"
    out.unlink(missing_ok=True)
    paths = [str(HERE.parent), str(HERE.parent / ".peers" / PEERS[name])] if name in PEERS else [str(HERE.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(HERE / "sweep_runners.py"), name, str(job), str(out)]
    used = measured(command, folder / f"{name}.log", environment)
    scores = json.loads(out.read_text())
    return {
        "cpu s": used.cpu,
        "wall s": used.wall,
        "mean": sum(scores) / len(scores),
        "best": max(scores),
        "scores": scores,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="mrpc")
    parser.add_argument("--limit", type=int, default=1000, help="rows of train, before validation is held out")
    parser.add_argument("--validation-fraction", type=float, default=0.25, help="large, because its metric is compared")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--teacher-epochs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=1, help="how often every runner has its turn")
    parser.add_argument("--runners", default=",".join(RUNNERS))
    parser.add_argument("--store", default="store")
    parser.add_argument("--out", default="sweep.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))
