"""Tags of words: `python benchmarks/ner.py [--corpus conll2003] [--limit 1000] [--methods kd] [--encoder minilm]`.

A teacher (six layers of MiniLM, or all layers of `--encoder`) and students of three layers on several seeds: on hard
labels (the no-KD baseline, from the encoder's layers; and from the teacher's layers), and by each method. Prints the
table with F1 by entity type and saves it as JSON. What is in the store is not made again, so a stopped run goes on by
the same command.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from written import origin

import kdray as kd
from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import CorpusSettings, kdray_data, read_corpus
from kdray.methods import FineTune, parse_method
from kdray.tasks import types_of


def main() -> None:
    arguments = _parser().parse_args()
    train = {"learning_rate": arguments.rate, "batch_size": 16, "max_length": arguments.max_length}
    names = arguments.methods.split(",")
    needed = max(parse_method({"name": name}).min_teachers for name in names)
    own = {"epochs": arguments.teacher_epochs, "learning_rate": arguments.teacher_rate or arguments.rate}
    teachers = [
        kd.Teacher(arguments.encoder, f"teacher-{seed}", train | own | {"seed": seed}) for seed in range(needed)
    ]
    found = kd.compare(
        {"teacher's layers, no KD": FineTune(), **{name: parse_method({"name": name}) for name in names}},
        teachers,
        _data(arguments),
        seeds=arguments.seeds,
        train=train | {"epochs": arguments.epochs},
        store=arguments.store,
        name=f"ner-{arguments.corpus}",
    )
    rows = [
        {
            "student": each["label"],
            "entity F1": each["test"]["mean"],
            "std": each["test"]["std"],
            "retention": each["retention"],
            "p vs no-KD": (each["difference"] or {}).get("p_value"),
            **{name: scores["f1"] for name, scores in each["classes"].items()},
        }
        for each in found.result["confirmation"]
    ]
    document: dict[str, Any] = {
        **origin(),
        "teachers": [{"name": each["name"], "test": each["test"]} for each in found.result["teachers"]],
        "rows": rows,
    }
    Path(arguments.out).write_text(json.dumps(document, indent=1) + "\n")
    print(table(rows))
    print("\n".join(f"{each['name']}: {each['test']:.4f}" for each in document["teachers"]))


def _data(arguments: argparse.Namespace) -> kd.Dataset:
    """The first rows of validation and test alone where `--scored` is set, so that a small machine needs minutes."""
    options = {"limit": arguments.limit} if arguments.limit else {}
    if not arguments.scored:
        return kd.Dataset.load(arguments.corpus, **options)
    corpus = read_corpus(CorpusSettings(name=arguments.corpus, **options), data_dir=kdray_data())
    first = {
        split: table.slice(0, None if split == "train" else arguments.scored) for split, table in corpus.splits.items()
    }
    tables = {split: table.drop_columns(["id"]) for split, table in first.items()}
    labels = {"labels": types_of(corpus.task.labels), "task": corpus.task.kind}
    return kd.Dataset(
        f"{arguments.corpus}-{arguments.scored}", tables, labels | {"fields": ({"name": "tokens", "role": "body"},)}
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="conll2003")
    parser.add_argument("--limit", type=int, default=1000, help="rows of train; 0 takes all")
    parser.add_argument("--scored", type=int, default=0, help="score the first rows of validation and test alone")
    parser.add_argument("--encoder", default="minilm", help="of teachers and students: a name or a folder")
    parser.add_argument("--methods", default="kd", help="names, with commas between")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--teacher-epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-4, help="learning rate of teachers and students")
    parser.add_argument("--teacher-rate", type=float, help="of teachers alone (default: --rate)")
    parser.add_argument("--max-length", type=int, default=96)
    parser.add_argument("--store", default="store")
    parser.add_argument("--out", default="ner.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))
