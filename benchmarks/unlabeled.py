"""Few labels and much text: `python benchmarks/unlabeled.py [--corpus ag_news] [--labeled 1500] [--unlabeled 10000]`.

A teacher (six layers of MiniLM) is fine-tuned on the labeled rows. TextCNN and BiLSTM students learn from these alone
with hard labels; and from these and unlabeled rows, whose only targets are the teacher's outputs. The no-KD baseline of
the latter has the unlabeled rows too, which give no loss there: it trains as many steps. Prints accuracy on the first
`--scored` rows of test over `--seeds` seeds. Everything is kept in `--store`: the same command continues a stopped run.
"""

import argparse
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from written import origin

import kdray as kd
from kdray.cli.show import table
from kdray.corpora import TASKS
from kdray.models import BiLSTM, TextCNN

SEED = 0  # of the rows that are drawn
STUDENTS = {"TextCNN": TextCNN(embedding=100, filters=50), "BiLSTM": BiLSTM(embedding=100, hidden=100, dense=100)}


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING)
    few, much = _data(arguments)
    store = str(arguments.store)
    teacher = kd.Teacher("minilm", "teacher", {"epochs": 3, "learning_rate": 1e-4, "max_length": arguments.max_length})
    fitted = teacher.fit(few, store=store).fitted
    assert fitted is not None
    used = kd.Teacher(str(fitted.folder), "teacher", {"max_length": arguments.max_length}, fine_tuned=True)
    train = {"epochs": arguments.epochs, "learning_rate": 3e-3, "max_length": arguments.max_length, "precision": "fp32"}
    of_teacher = {"student": "teacher", "train": arguments.labeled, "mean": fitted.evaluate()["accuracy"]}
    rows: list[dict[str, Any]] = [of_teacher]
    for title, student in STUDENTS.items():
        how = {"seeds": arguments.seeds, "student": student, "train": train, "store": store}
        alone = kd.compare([kd.methods.FineTune()], None, few, name=f"{title}-few".lower(), **how)
        method = kd.methods.KD(temperature=2.0, alpha=0.9)
        taught = kd.compare([method], used, much, name=f"{title}-much".lower(), outputs={"quality_check": False}, **how)
        for label, data, found in (("few", few, alone), ("much", much, taught)):
            for row in found.to_pandas().to_dict("records"):
                rows.append({"student": title, "rows": label, "train": len(data.tables["train"]), **row})
        arguments.out.write_text(json.dumps({**origin(), "rows": rows}, indent=1) + "\n")
    print(table(rows))


def _data(arguments: argparse.Namespace) -> tuple[kd.Dataset, kd.Dataset]:
    """The labeled rows, and these with unlabeled ones. Validation (a tenth as many rows) and test are the same."""
    task, folder = TASKS[arguments.corpus], Path(os.environ["KDRAY_DATA"]) / arguments.corpus
    whole = pd.read_parquet(folder / "train.parquet", columns=["text", "label"])
    whole = whole.iloc[np.random.default_rng(SEED).permutation(len(whole))].reset_index(drop=True)
    test = pd.read_parquet(folder / "test.parquet", columns=["text", "label"]).head(arguments.scored)
    for part in (whole, test):
        part["label"] = [task.labels[label] for label in part["label"]]
    end = arguments.labeled + arguments.labeled // 10
    few, validation = whole[: arguments.labeled], whole[arguments.labeled : end]
    more = whole[end : end + arguments.unlabeled].assign(label=None)
    options: dict[str, Any] = {"validation": validation, "test": test, "labels": task.labels, "metrics": task.metrics}
    name = f"{arguments.corpus}-{arguments.labeled}"
    return (
        kd.Dataset.from_pandas(few, name=name, **options),
        kd.Dataset.from_pandas(pd.concat([few, more]), name=f"{name}-{arguments.unlabeled}", **options),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="ag_news")
    parser.add_argument("--labeled", type=int, default=1500, help="rows of train")
    parser.add_argument("--unlabeled", type=int, default=10_000, help="further rows of train, without labels")
    parser.add_argument("--scored", type=int, default=2000, help="first rows of test")
    parser.add_argument("--epochs", type=int, default=5, help="of the students")
    parser.add_argument("--max-length", type=int, default=64, help="tokens that all models read")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", type=Path, default=Path("unlabeled-store"))
    parser.add_argument("--out", type=Path, default=Path("unlabeled.json"))
    return parser


if __name__ == "__main__":
    main()
